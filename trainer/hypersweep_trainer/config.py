"""What one trial is asked to do, read from its environment; standard library only."""

import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from hypersweep import contract
from hypersweep_trainer.options import MAXIMIZED, OPTIONS, Options, metrics, resolve

STORES = (contract.ENV_STORE_ENDPOINT, contract.ENV_STORE_REGION)
LOCAL_RANK = "HYPERSWEEP_LOCAL_RANK"  # set by the launcher for the ranks that it starts


class ConfigError(Exception):
    """The trial can never run as it is configured."""


@dataclass(frozen=True)
class Goal:
    """A metric that somebody compares trials by."""

    metric: str
    maximize: bool
    at: str = "last"  # last | best | mean:k


@dataclass(frozen=True)
class Place:
    """Where a process stands among the ranks of its trial."""

    nodes: int = 1
    per_node: int = 1
    node: int = 0
    local: int | None = None  # None in a launcher that has ranks to start
    host: str = "127.0.0.1"
    port: int = 29500
    gpus: int = 0  # that the pod was given: torch must see them

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """From torchrun's own variables; raises ConfigError."""
        place = cls(
            nodes=_integer(env, "PET_NNODES", 1, low=1),
            per_node=_integer(env, "PET_NPROC_PER_NODE", 1, low=1),
            node=_integer(env, "PET_NODE_RANK", 0),
            local=_integer(env, LOCAL_RANK, 0) if LOCAL_RANK in env else None,
            host=env.get("PET_MASTER_ADDR", "") or cls.host,
            port=_integer(env, "PET_MASTER_PORT", cls.port, low=1),
            gpus=_integer(env, contract.ENV_GPUS, 0),
        )
        if place.node >= place.nodes:
            raise ConfigError(f"PET_NODE_RANK: must be below {place.nodes} (PET_NNODES), but is {place.node}")
        return place

    @property
    def world(self) -> int:
        return self.nodes * self.per_node

    @property
    def rank(self) -> int:
        return self.node * self.per_node + (self.local or 0)


@dataclass(frozen=True)
class Config:
    """One trial's configuration; `resolved` is what `result.json` reports of it."""

    options: Options
    resolved: Mapping[str, Any]
    seed: int = 0
    fraction: float = 1.0
    final: bool = False
    goals: tuple[Goal, ...] = ()
    rungs: tuple[int, ...] = ()  # the epochs after which somebody may stop this trial
    attempt: int = 0
    pod: str = ""
    thorough: bool = False  # whether this trial runs all checks, for the whole sweep
    found: Mapping[str, Any] = field(
        default_factory=dict
    )  # what `auto` stands for, found by another replicate
    pretrained: str = ""  # the URL of the model that `pretrained: sweep://…` names
    stores: Mapping[str, str] = field(default_factory=dict)  # where S3 is, by its variables' names
    ranks: int = 1
    fixed: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """From the variables of the contract; raises ConfigError with everything that is wrong."""
        fixed, parameters = (_object(env, name) for name in (contract.ENV_TRAINER, contract.ENV_PARAMETERS))
        if env.get(contract.ENV_EPOCHS):  # a stage's own budget
            parameters["epochs"] = _integer(env, contract.ENV_EPOCHS, 1, low=1)
        world = Place.read(env).world
        resolved = _resolved(fixed, parameters, world, {})
        if resolved["folds"] and "fold" not in {**fixed, **parameters}:
            fixed["fold"] = _integer(env, contract.ENV_REPLICATE, 0) % resolved["folds"]
            resolved["fold"] = fixed["fold"]
        return cls(
            options=Options(**resolved),
            resolved=resolved,
            seed=_integer(env, contract.ENV_SEED, 0),
            fraction=_fraction(env),
            final=env.get(contract.ENV_FINAL) == "1",
            goals=_known(goals(env), {**fixed, **parameters}),
            rungs=rungs(env),
            attempt=_integer(env, contract.ENV_ATTEMPT, 0),
            pod=env.get(contract.ENV_POD_UID) or secrets.token_hex(8),
            thorough=env.get(contract.ENV_CHECKS) == "all",
            found=_object(env, contract.ENV_RESOLVED),
            pretrained=env.get(contract.ENV_PRETRAINED, ""),
            stores={name: env[name] for name in STORES if name in env},
            ranks=world,
            fixed=fixed,
            parameters=parameters,
        )

    @property
    def monitor(self) -> str:
        """The metric by which this run is judged."""
        return self.goals[0].metric if self.goals else "val_loss"

    @property
    def automatic(self) -> dict[str, Any]:
        """What was found for the options that are `auto`."""
        given = {**self.fixed, **self.parameters}
        return {
            n: self.resolved[n]
            for n in given
            if given[n] == "auto" and OPTIONS[n].numeric and self.resolved[n] != "auto"
        }

    @property
    def batch(self) -> int:
        """Rows of one step, over all ranks."""
        per_rank = self.options.batch_scope == "per_rank"
        return int(self.options.batch_size) * (self.ranks if per_rank else 1)

    def told(self, facts: Mapping[str, Any]) -> Self:
        """The configuration once the data has told what it is; raises ConfigError."""
        resolved = _resolved(self.fixed, self.parameters, self.ranks, facts)
        return replace(self, options=Options(**resolved), resolved=resolved)

    def settled(self, found: Mapping[str, Any]) -> Self:
        """With numbers in place of `auto`."""
        return self.changed(**{n: value for n, value in found.items() if self.resolved.get(n) == "auto"})

    def changed(self, **values: Any) -> Self:
        """Another configuration for a part of the run: a first stage, a check."""
        return replace(self, options=replace(self.options, **values), resolved={**self.resolved, **values})


def _resolved(
    fixed: Mapping[str, Any], parameters: Mapping[str, Any], ranks: int, known: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        return resolve(fixed, parameters, ranks=ranks, known=known)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def maximized(metric: str) -> bool:
    """Whether larger values of one of our metrics are better."""
    return metric.endswith(MAXIMIZED)


def termination_log(env: Mapping[str, str]) -> Path | None:
    """Where the termination message goes; None outside of a container that nobody gave a place for it."""
    given = env.get(contract.ENV_TERMINATION_LOG)
    mounted = Path(contract.TERMINATION_LOG)
    return Path(given) if given else mounted if mounted.is_file() else None


def _integer(env: Mapping[str, str], name: str, default: int, low: int = 0) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal() or int(text) < low:
        raise ConfigError(f"{name}: must be an integer of at least {low}, but is {text!r}")
    return int(text)


def _object(env: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = json.loads(env.get(name) or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: must be a JSON object, but is {env[name]!r}")
    return value


def rungs(env: Mapping[str, str]) -> tuple[int, ...]:
    """The epochs at which somebody may stop the trial, ascending; raises ConfigError."""
    name = contract.ENV_RUNGS
    try:
        found = json.loads(env.get(name) or "[]")
    except ValueError:
        found = None
    whole = isinstance(found, list) and all(type(epoch) is int and epoch > 0 for epoch in found)
    if not whole or found != sorted(set(found)):
        must = "must be a list of epochs, whole numbers above 0 in ascending order"
        raise ConfigError(f"{name}: {must}, but is {env[name]!r}")
    return tuple(found)


def _fraction(env: Mapping[str, str]) -> float:
    text = env.get(contract.ENV_DATA_FRACTION) or "1"
    try:
        fraction = float(text)
    except ValueError:
        fraction = math.nan
    if not 0 < fraction <= 1:
        raise ConfigError(f"{contract.ENV_DATA_FRACTION}: must be above 0 and at most 1, but is {text!r}")
    return fraction


def goals(env: Mapping[str, str]) -> tuple[Goal, ...]:
    """What trials are compared by; raises ConfigError."""
    name = contract.ENV_OBJECTIVES
    try:
        entries = json.loads(env.get(name) or "[]")
        found = tuple(
            Goal(str(entry["metric"]), entry["goal"] == "maximize", str(entry.get("at") or "last"))
            for entry in entries
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigError(f"{name}: must be a list of {{metric, goal, at}}, but is {env[name]!r}") from None
    for goal in found:
        kind, _, count = goal.at.partition(":")
        if goal.at not in ("last", "best") and not (kind == "mean" and count.isdecimal() and int(count)):
            raise ConfigError(f"{name}: `at` must be last, best or mean:k, but is {goal.at!r}")
    return found


def _known(found: tuple[Goal, ...], options: Mapping[str, Any]) -> tuple[Goal, ...]:
    known = metrics(options) if found else ()
    for goal in found:
        if goal.metric not in known:
            must = f"the metric must be one of {', '.join(known)}, but is {goal.metric!r}"
            raise ConfigError(f"{contract.ENV_OBJECTIVES}: {must}")
    return found
