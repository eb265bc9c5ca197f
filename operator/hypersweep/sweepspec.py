"""A HyperSweep: its metadata and its specification as a whole, and what of it may change later."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from hypersweep.contract import CONTAINER
from hypersweep.parameterspec import ObjectiveSpec, ParameterSpec
from hypersweep.rule import Model, Rule
from hypersweep.scalar import Anything, Count, Flag, Integer, Positive, Text, Whole
from hypersweep.searchspec import EarlyStopping, Strategy
from hypersweep.space import Case, Choice, Parameter, Space, Value
from hypersweep.trial import Objective, Parameters
from hypersweep.trialspec import Budget, Resources, Retries, RetryRequest, Reuse, StoreSpec, TrialSpec

LONGEST_NAME = 40  # names of Jobs, pods and hosts derive from it, and those end at 63
STORELESS_TRIALS = 1000  # what the journal of a sweep without a store may hold

IMMUTABLE = (
    "objectives",
    "parameters",
    "constraints",
    "strategy",
    "seeds",
    "seed",
    "earlyStopping",
    "reuse",
    "trainer",
    "store",
)


class SweepSpec(Model):
    RULES = (
        Rule(
            "maxTrials >= seeds must hold: a configuration runs once per seed",
            "!has(self.maxTrials) || !has(self.seeds) || self.maxTrials >= self.seeds",
            lambda s: s.max_trials is None or s.max_trials >= s.seeds,
            lambda s: f"maxTrials={s.max_trials}, seeds={s.seeds}",
            at=".maxTrials",
            reads=("maxTrials", "seeds"),
        ),
        Rule(
            "random never ends by itself: maxTrials, budget or a target must be given",
            "!has(self.strategy.random) || has(self.maxTrials) || has(self.budget)"
            " || self.objectives.exists(o, has(o.target))",
            lambda s: (
                s.strategy.random is None
                or s.max_trials is not None
                or s.budget is not None
                or s.objective.target is not None
            ),
            lambda s: "none",
            at=".strategy.random",
            reads=("strategy", "maxTrials", "budget", "objectives"),
        ),
        Rule(
            "with fewer than 3 seeds a long stage compares single runs: minImprovement must be given",
            "!has(self.strategy.iterative) || !has(self.seeds) || self.seeds >= 3"
            " || has(self.strategy.iterative.minImprovement)",
            lambda s: (
                s.strategy.iterative is None
                or s.seeds >= 3
                or s.strategy.iterative.min_improvement is not None
            ),
            lambda s: f"seeds={s.seeds}",
            at=".strategy.iterative",
            reads=("strategy", "seeds"),
        ),
        Rule(
            "parameters must be given, unless the strategy is a list",
            "has(self.parameters) || has(self.strategy.list)",
            lambda s: bool(s.parameters) or s.strategy.list is not None,
            lambda s: "none",
            at=".parameters",
            reads=("parameters", "strategy"),
        ),
    )

    objectives: tuple[ObjectiveSpec, ...] = Field(
        min_length=1, max_length=2, description="What to optimise; the first one decides."
    )
    parameters: tuple[ParameterSpec, ...] = Field(
        default=(), max_length=100, description="What may vary, by name; their order means nothing."
    )
    constraints: tuple[Text, ...] | None = Field(
        default=None,
        max_length=50,
        description="CEL expressions over parameters that a configuration must satisfy.",
    )
    strategy: Strategy = Field(description="How configurations are chosen: exactly one of the following.")
    seeds: Whole = Field(
        default=1,
        ge=1,
        le=1000,
        description="Runs of one configuration with different seeds. Default: 1, under iterative 3.",
    )
    seed: Integer = Field(default=0, description="Everything drawn derives from it. Default: 0.")
    parallelism: Count = Field(default=1, description="Most trials at once. Default: 1.")
    max_trials: Positive | None = Field(
        default=None, description="Most runs, those of other seeds included; may be raised later."
    )
    budget: Budget | None = Field(default=None, description="The sweep ends when it is used up.")
    retries: Retries = Field(default=Retries(), description="Further attempts of one trial.")
    max_failed_trials: Count = Field(
        default=5, description="The sweep fails when more trials than this have failed. Default: 5."
    )
    early_stopping: EarlyStopping | None = Field(default=None, description="End hopeless trials early.")
    suspend: Flag = Field(
        default=False, description="Stop running trials, uncharged, until it is false again."
    )
    trainer: dict[Text, Anything] | None = Field(
        default=None,
        max_length=200,
        description="Options of the built-in trainer that are the same in every trial.",
    )
    trial: TrialSpec = Field(default=TrialSpec(), description="How a trial runs.")
    store: StoreSpec | None = Field(
        default=None,
        description="Where everything is written. Default: the operator's store; without one, the cluster "
        "keeps the sweep's journal, and results are what trials put into their termination message.",
    )
    reuse: tuple[Reuse, ...] | None = Field(
        default=None, max_length=20, description="Sweeps whose results count as this one's."
    )
    approve: tuple[Count, ...] | None = Field(
        default=None, max_length=30, description="Stages that may go on."
    )
    retry: tuple[RetryRequest, ...] | None = Field(
        default=None, max_length=100, description="Trials to run again."
    )

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, given: Any) -> Any:
        return cls.fill(given) if isinstance(given, Mapping) else given

    @staticmethod
    def fill(given: Mapping[str, Any]) -> dict[str, Any]:
        """What was given, with the two defaults that depend on other fields; null is the same as absent."""
        filled = {name: value for name, value in given.items() if value is not None}
        strategy = filled.get("strategy")
        found = strategy.get("iterative") if isinstance(strategy, Mapping) else None
        if found or getattr(strategy, "iterative", None):
            filled.setdefault("seeds", 3)
        if own_command(filled.get("trial")) is None:
            filled.setdefault("trainer", {})
        return filled

    @property
    def objective(self) -> Objective:
        return self.objectives[0].objective

    @cached_property  # built once: a pass asks for it many times
    def space(self) -> Space:
        """The declared parameters; those of a list that declares none are choices among its values."""
        declared = [parameter.parameter for parameter in self.parameters] or [
            Parameter(name, (Case(Choice(tuple(dict.fromkeys(values)))),)) for name, values in self._columns()
        ]
        return Space(tuple(sorted(declared, key=lambda parameter: parameter.name)))

    def _columns(self) -> list[tuple[str, list[Value]]]:
        columns: dict[str, list[Value]] = {}
        for entry in self.strategy.list or ():
            for name, value in entry.items():
                columns.setdefault(name, []).append(value)
        return list(columns.items())

    @property
    def listed(self) -> tuple[Parameters, ...]:
        """The configurations of a list: as they stand, or completed where parameters are declared."""
        entries = self.strategy.list or ()
        if not self.parameters:
            return tuple(dict(sorted(entry.items())) for entry in entries)
        return tuple(self.space.resolve(entry) for entry in entries)

    def search_document(self) -> dict[str, Any]:
        """What may not change while a sweep lives, as plain JSON; the order of parameters does not count."""
        kept = {name for name, field in SweepSpec.model_fields.items() if (field.alias or name) in IMMUTABLE}
        document = self.model_dump(mode="json", by_alias=True, exclude_none=True, include=kept)
        document["parameters"] = sorted(document["parameters"], key=lambda parameter: str(parameter["name"]))
        image = self.trial.container.get("image") or self.trial.image
        trial = {"image": image, "command": self.trial.command}
        document["trial"] = {name: value for name, value in trial.items() if value}
        plain: dict[str, Any] = json.loads(json.dumps(document))
        return plain


def searched(document: Mapping[str, Any]) -> SweepSpec:
    """The specification that a search document was made of, as far as that tells."""
    kept = {name: value for name, value in document.items() if name != "trial"}
    if command := document.get("trial", {}).get("command"):
        container = {"name": CONTAINER, "command": list(command)}
        kept["trial"] = {"podTemplate": {"spec": {"containers": [container]}}}
    return SweepSpec.model_validate(kept)


def own_command(trial: Any) -> tuple[str, ...] | None:
    """The command that a trial brings, whether it is read already or not."""
    if isinstance(trial, TrialSpec):
        return trial.command
    template = trial.get("podTemplate") if isinstance(trial, Mapping) else None
    if not isinstance(template, dict):
        return None
    return TrialSpec.model_construct(pod_template=template, resources=Resources()).command


def differing_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Where two search documents differ, each as field, value now and value before."""
    return [
        f"spec.{path}: must stay {_shown(before)}, but found {_shown(after)}"
        for path, before, after in _differences("", old, new)
    ]


ABSENT = object()


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(old.keys() | new.keys()):
            below = f"{path}.{name}" if path else name
            yield from _differences(below, old.get(name, ABSENT), new.get(name, ABSENT))
    elif _named(old) and _named(new):
        before, after = ({item["name"]: item for item in items} for items in (old, new))
        for name in sorted(before.keys() | after.keys()):
            yield from _differences(f"{path}[{name}]", before.get(name, ABSENT), after.get(name, ABSENT))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{index}]", before, after)
    elif old != new:
        yield path, old, new


def _named(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(item, Mapping) and "name" in item for item in items)


def _shown(value: Any) -> str:
    return "absent" if value is ABSENT else json.dumps(value)


class Metadata(BaseModel):
    """What we read of an object's metadata; Kubernetes adds much more."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 1


class HyperSweep(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    metadata: Metadata
    spec: SweepSpec
