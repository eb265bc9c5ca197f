"""Objects of the manifest and the rules between their fields, said once for API server and Python."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

LONGEST = 80  # characters of a found value that a message quotes


@dataclass(frozen=True)
class Rule:
    """One sentence that must hold: as CEL for the API server, as a predicate for Python."""

    words: str
    cel: str | None  # None where the schema's structure says it, because CEL cannot see the fields
    holds: Callable[[Any], bool]
    found: Callable[[Any], str]
    at: str = ""  # the field that is blamed, below the object
    reads: tuple[str, ...] = ()  # of a whole specification: the sections that must be sound to ask
    one_of: tuple[str, ...] = ()  # fields of which the schema's structure asks exactly one

    def problem(self, path: str, value: Any) -> str | None:
        """What is wrong with a value at `path`, with what was found; None if the rule holds."""
        if self.holds(value):
            return None
        return f"{path}{self.at}: {self.words}, but found {self.found(value)}"


def quoted(*names: str) -> Callable[[Any], str]:
    """What was found, as the values of these attributes."""
    return lambda value: ", ".join(f"{attribute(name)}={shown(getattr(value, name))}" for name in names)


def shown(value: Any) -> str:
    """A found value as a manifest would write it, cut where it is long."""
    if isinstance(value, float) and value.is_integer():
        return f"{value:.12g}"
    try:
        text = json.dumps(value, default=str)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def attribute(name: str) -> str:
    """The manifest's name of a Python attribute."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


def given(value: Any, names: Sequence[str]) -> list[str]:
    return [attribute(name) for name in names if getattr(value, name) is not None]


def exactly_one(*names: str, visible: bool = True) -> Rule:
    """Exactly one of these fields is given; CEL cannot count fields that are not `visible` to it."""
    listed = ", ".join(map(attribute, names))
    has = ", ".join(f"has(self.{attribute(name)})" for name in names)
    return Rule(
        words=f"exactly one of {listed} must be given",
        cel=f"[{has}].filter(x, x).size() == 1" if visible else None,
        one_of=() if visible else tuple(map(attribute, names)),
        holds=lambda value: len(given(value, names)) == 1,
        found=lambda value: ", ".join(given(value, names)) or "none",
    )


def at_most_one(*names: str) -> Rule:
    listed = ", ".join(map(attribute, names))
    has = " && ".join(f"has(self.{attribute(name)})" for name in names)
    return Rule(
        words=f"at most one of {listed} must be given",
        cel=f"!({has})",
        holds=lambda value: len(given(value, names)) <= 1,
        found=lambda value: ", ".join(given(value, names)),
    )


class Model(BaseModel):
    """One object of the manifest: camelCase there, snake_case here, and nothing that is not named."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")
    RULES: ClassVar[tuple[Rule, ...]] = ()
