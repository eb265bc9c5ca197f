"""The manifest: reads one, says at once everything that is wrong with it, and names its parts."""

from collections.abc import Mapping
from typing import Any

from hypersweep import check, document
from hypersweep.parameterspec import CaseSpec, FloatRange, IntRange, ObjectiveSpec, ParameterSpec
from hypersweep.searchspec import Final, Grid, Iterative, MinImprovement, Random, Search, Stage, Strategy
from hypersweep.sweepspec import HyperSweep, Metadata, SweepSpec, differing_fields, searched
from hypersweep.trialspec import Budget, Resources, Retries, StoreSpec, TrialSpec

__all__ = [
    "Budget",
    "CaseSpec",
    "Final",
    "FloatRange",
    "Grid",
    "HyperSweep",
    "IntRange",
    "Iterative",
    "Metadata",
    "MinImprovement",
    "ObjectiveSpec",
    "ParameterSpec",
    "Random",
    "Resources",
    "Retries",
    "Search",
    "SpecError",
    "Stage",
    "StoreSpec",
    "Strategy",
    "SweepSpec",
    "TrialSpec",
    "differing_fields",
    "load",
    "problems",
    "searched",
]


class SpecError(Exception):
    """A manifest that cannot be run, with everything that is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(source: str | Mapping[str, Any]) -> HyperSweep:
    """The one HyperSweep of a text or mapping; raises SpecError with all of its problems."""
    if isinstance(source, str):
        try:
            found = document.read(source)
        except ValueError as error:
            raise SpecError([f"not YAML: {error}"]) from error
        if len(found) != 1 or not isinstance(found[0], dict):
            raise SpecError([f"one HyperSweep must be given, but found {len(found)} documents"])
        source = found[0]
    if wrong := check.problems(source):
        raise SpecError(wrong)
    return HyperSweep.model_validate(source)


def problems(source: Mapping[str, Any], durable: bool = True) -> list[str]:
    """Everything that is wrong with a manifest; without a store (`durable` False) more is."""
    return check.problems(source, durable)
