"""Everything that is wrong with a manifest, at once: each problem names field, what must hold and what is."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from hypersweep import consistency, contract, podtemplate, unsupported, wording
from hypersweep.parameterspec import ObjectiveSpec, ParameterSpec
from hypersweep.rule import Model, shown
from hypersweep.scalar import PATTERNS, SWEEP_NAME
from hypersweep.searchspec import Strategy
from hypersweep.sweepspec import LONGEST_NAME, SweepSpec
from hypersweep.trialspec import TrialSpec

API_VERSION = f"{contract.GROUP}/{contract.VERSION}"
TOP = ("apiVersion", "kind", "metadata", "spec", "status")
ITEMS: dict[str, type[Model]] = {"objectives": ObjectiveSpec, "parameters": ParameterSpec}

FIELDS = {info.alias or name: (name, info) for name, info in SweepSpec.model_fields.items()}
# sections are read one by one, each beside these: so only its own problems are found
SOUND = {"objectives": [{"metric": "loss", "goal": "minimize"}], "strategy": {"list": [{"x": 0}]}}


def problems(source: Mapping[str, Any], durable: bool = True) -> list[str]:
    """One sentence per problem; a sweep without a store is not `durable`, and may do less."""
    found = list(_object(source))
    given = source.get("spec")
    if not isinstance(given, Mapping):
        return [*found, f"spec: must be an object, but found {shown(given)}"]
    read = _read(given)
    found += unsupported.problems(given) + read.problems
    found += _template(given.get("trial"))
    found += consistency.problems(read.spec, read.broken, read.names)
    if not durable:
        found += consistency.storeless(read.spec, read.broken)
    return list(dict.fromkeys(found))


def _object(source: Mapping[str, Any]) -> Iterator[str]:
    for top in source:
        if top not in TOP:
            yield f"{top}: {wording.unknown(str(top), TOP)}"
    for top, expected in (("apiVersion", API_VERSION), ("kind", contract.KIND)):
        if source.get(top) != expected:
            yield f"{top}: must be {expected}, but found {shown(source.get(top))}"
    metadata = source.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(name, str):
        yield "metadata.name: must be given"
    elif len(name) > LONGEST_NAME:
        yield f"metadata.name: {NAME_LENGTH}, but found {len(name)}: {name}"
    elif not re.match(SWEEP_NAME, name):
        yield f"metadata.name: {PATTERNS[SWEEP_NAME]}, but found {shown(name)}"


def _template(trial: Any) -> Iterator[str]:
    template = trial.get("podTemplate") if isinstance(trial, Mapping) else None
    if isinstance(template, Mapping):
        yield from podtemplate.problems(template, "spec.trial.podTemplate")


NAME_LENGTH = f"must be at most {LONGEST_NAME} characters long"


@dataclass
class _Reading:
    """What could be read of a specification, section by section, and what could not."""

    spec: SweepSpec = field(init=False)
    values: dict[str, Any] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    names: list[str] = field(default_factory=list)  # of parameters, sound or not
    problems: list[str] = field(default_factory=list)

    def section(self, alias: str, value: Any) -> None:
        name, _ = FIELDS[alias]
        if alias in ITEMS and isinstance(value, list):
            sound = self.items(alias, value)
            if len(sound) < len(value):
                self.values[name] = tuple(sound)
                return
            value = sound
        try:
            self.values[name] = getattr(SweepSpec.model_validate(SOUND | {alias: value}, by_name=False), name)
        except ValidationError as error:
            self.refuse(alias, wording.problems(error, "spec", SweepSpec))
            return
        if alias not in ITEMS:
            self.refuse(alias, broken_rules(self.values[name], f"spec.{alias}"))

    def items(self, alias: str, given: list[Any]) -> list[Any]:
        """The sound items of a list, each read by itself, so that one wrong item hides no other problem."""
        sound = []
        for index, item in enumerate(given):
            path = f"spec.{alias}[{index}]"
            try:
                value = ITEMS[alias].model_validate(item, by_name=False)
            except ValidationError as error:
                self.refuse(alias, wording.problems(error, path, ITEMS[alias]))
                continue
            if wrong := list(broken_rules(value, path)):
                self.refuse(alias, wrong)
            else:
                sound.append(value)
        return sound

    def refuse(self, alias: str, found: Iterable[str]) -> None:
        if wrong := list(found):
            self.broken.add(alias)
            self.problems += wrong


def _read(given: Mapping[str, Any]) -> _Reading:
    reading = _Reading()
    filled = SweepSpec.fill(given)
    for alias, value in filled.items():
        if alias not in FIELDS:
            reading.problems.append(f"spec.{alias}: {wording.unknown(str(alias), list(FIELDS))}")
        elif value is not None:
            reading.section(alias, value)
    for alias, (_, info) in FIELDS.items():
        if info.is_required() and filled.get(alias) is None:
            reading.refuse(alias, [f"spec.{alias}: must be given"])
    parameters = given.get("parameters")
    for item in parameters if isinstance(parameters, list) else ():
        name = item.get("name") if isinstance(item, Mapping) else None
        reading.names.append(name if isinstance(name, str) else "")
    reading.spec = SweepSpec.model_construct(**_stand_ins(given) | reading.values)
    return reading


def _stand_ins(given: Mapping[str, Any]) -> dict[str, Any]:
    """For sections that are absent or could not be read: the default, or as much as other checks need."""
    trial = given.get("trial")
    template = trial.get("podTemplate") if isinstance(trial, Mapping) else None
    stand_ins = {name: None if info.is_required() else info.get_default() for name, info in FIELDS.values()}
    return stand_ins | {
        "strategy": Strategy(),
        "trial": TrialSpec(pod_template=dict(template) if isinstance(template, Mapping) else {}),
    }


def broken_rules(value: Any, path: str) -> Iterator[str]:
    """The rules that an object or anything within it breaks."""
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from broken_rules(item, f"{path}[{index}]")
    if not isinstance(value, Model):
        return
    yield from filter(None, (rule.problem(path, value) for rule in value.RULES))
    for name, info in type(value).model_fields.items():
        yield from broken_rules(getattr(value, name), f"{path}.{info.alias or name}")
