"""Manifests as text: YAML with the scalars of YAML 1.2, wary of what kubectl would read differently."""

import re
from collections.abc import Hashable
from typing import Any

import yaml


class Bare(str):
    """A word such as `on` without quotes: a string in YAML 1.2, but true or false to kubectl."""


class _Loader(yaml.SafeLoader):
    """PyYAML reads `1e-4` as a string, `on` as true and the last of two equal keys; this one does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise _refused(f"the key {key!r} stands twice in one mapping", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


SCALARS = (
    ("null", r"null|Null|NULL|~|", "nN~"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("bare", r"(?i:y|yes|on|n|no|off)", "yYnNoO"),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("unclear", r"[-+]?(0[0-9_]+|0b[01_]+|[0-9][0-9_]*_[0-9_]*)", "-+0123456789"),
    ("merge", "<<", "<"),
)
_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in SCALARS:
    _letters = [*_first, ""] if _kind == "null" else list(_first)
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), _letters)


def _refused(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)), 0)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).lower().replace(".inf", "inf").replace(".nan", "nan"))


def _bare(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Bare:
    return Bare(loader.construct_scalar(node))


def _unclear(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    found = loader.construct_scalar(node)
    raise _refused(f"{found} is another number to other readers: write it in decimal, or in quotes", node)


for _kind, _constructor in (("int", _integer), ("float", _number), ("bare", _bare), ("unclear", _unclear)):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _constructor)


def read(text: str) -> list[Any]:
    """The documents of a text that are not empty; raises ValueError with line and column."""
    try:
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{getattr(error, 'problem', None) or error}") from error
