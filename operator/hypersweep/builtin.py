"""The few options of the built-in trainer that a sweep itself acts on."""

import math
from collections.abc import Iterator
from typing import Any

from hypersweep.api import SweepSpec
from hypersweep.space import Choice, Value
from hypersweep.trial import Parameters
from hypersweep_trainer.options import OPTIONS, PRESETS, rounded

AUTO = "auto"


def option(spec: SweepSpec, parameters: Parameters, name: str) -> Any:
    """What a trial has for an option: its parameter, else what is fixed, else the plain default."""
    return parameters.get(name, (spec.trainer or {}).get(name, OPTIONS[name].default))


def values(spec: SweepSpec, name: str) -> list[Any]:
    """Everything that the trials of a sweep may have for an option that is no number."""
    cases = [
        case for parameter in spec.space.parameters if parameter.name == name for case in parameter.cases
    ]
    swept: list[Value] = [
        value for case in cases if isinstance(case.domain, Choice) for value in case.domain.values
    ]
    return swept or [option(spec, {}, name)]


def bounds(spec: SweepSpec, name: str) -> tuple[float, float]:
    """What a number may ever be: of the built-in trainer's options the table knows it."""
    known = OPTIONS.get(name) if spec.trial.command is None else None
    if known is None or known.low is None or known.high is None:
        return -math.inf, math.inf
    return known.low, known.high


def automatic(spec: SweepSpec) -> tuple[str, ...]:
    """The options of which every configuration finds its own value: `auto` where there could be a number."""
    fixed = (spec.trainer or {}).items()
    return tuple(name for name, value in fixed if value == AUTO and name in OPTIONS and OPTIONS[name].numeric)


def presets(spec: SweepSpec) -> Iterator[str]:
    """What each preset of a sweep sets, in a line: all of it that is neither fixed nor swept."""
    if spec.trial.command is not None:
        return
    own = {*(spec.trainer or {}), *(parameter.name for parameter in spec.space.parameters)}
    for preset in values(spec, "preset"):
        recipe = rounded(PRESETS.get(preset, {})).items()
        if found := [f"{name} {value}" for name, value in recipe if name not in own]:
            yield f"preset {preset} sets {', '.join(found)}"
