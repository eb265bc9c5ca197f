"""What a sweep is made of: suggestions, attempts, trials, objectives; and which trial is best."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from statistics import fmean
from typing import Any

from hypersweep.space import Value

Parameters = Mapping[str, Value]


@dataclass(frozen=True, order=True)
class Slot:
    """The place of a suggestion in an iterative sweep: fixed when its round opens, filled by one trial."""

    stage: int
    round: int
    arm: int
    point: int
    replicate: int
    widening: int = 0
    cycle: int = 0  # which pass over the stages


@dataclass(frozen=True)
class Suggestion:
    """One configuration to run once."""

    parameters: Parameters
    seed: int
    replicate: int = 0
    epochs: int | None = None
    fraction: float | None = None
    draw: int | None = None  # index in a list, grid or random order
    slot: Slot | None = None
    base: Mapping[str, Any] | None = None  # what is held fixed and the decision that set it
    final: bool = False  # the test split may be read
    resolved: Mapping[str, Any] | None = None  # what replicate 0 found for itself: values of `auto` options

    @cached_property
    def configuration(self) -> str:
        """Equal for replicates of one configuration at one fidelity, and only for these."""
        return identity(self.parameters, self.epochs, self.fraction)


def identity(parameters: Parameters, epochs: int | None = None, fraction: float | None = None) -> str:
    items = sorted(parameters.items())
    return repr((items, epochs, fraction))


def replicate_seed(seed: int, replicate: int) -> int:
    """The seed of replicate r: the same for every configuration, so that differences are paired."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{replicate}".encode()).digest()[:4], "big") >> 1


class End(StrEnum):
    """How an attempt ended."""

    DONE = "Done"
    INFEASIBLE = "Infeasible"
    ERROR = "Error"
    CONFIG = "InvalidConfig"
    PREEMPTED = "Preempted"
    LOST = "Lost"
    TIMEOUT = "Timeout"
    NO_METRICS = "MetricsUnavailable"
    STOPPED = "Stopped"
    SUSPENDED = "Suspended"


class Status(StrEnum):
    """How a trial stands; the first two are not terminal."""

    RUNNING = "Running"
    WAITING = "Waiting"  # between two attempts
    DONE = "Done"
    INFEASIBLE = "Infeasible"
    FAILED = "Failed"
    STOPPED = "Stopped"


@dataclass(frozen=True)
class Checks:
    """What checks of a run found, one sentence each that begins with the check's name."""

    passed: int = 0
    failed: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()  # about what this run did
    advice: str = ""  # about its configuration, whatever the data


@dataclass(frozen=True)
class Attempt:
    number: int
    launched: datetime
    stop: str | None = None  # why it was asked to stop
    end: End | None = None
    ended: datetime | None = None  # when that was recorded
    started: datetime | None = None
    finished: datetime | None = None
    reason: str = ""
    gpu_seconds: float = 0.0


@dataclass(frozen=True)
class Trial:
    """One suggestion and everything that is known of its run."""

    number: int
    suggestion: Suggestion
    attempts: tuple[Attempt, ...]
    status: Status = Status.RUNNING
    metrics: Mapping[str, float] = field(default_factory=dict)  # of a done trial: what `at` asks for
    checks: Checks | None = None  # of the sweep's first trial
    resolved: Mapping[str, Any] | None = None  # what a replicate 0 found for itself

    @property
    def finished(self) -> bool:
        return self.status not in (Status.RUNNING, Status.WAITING)

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]

    def ends(self, *kinds: End) -> int:
        return sum(attempt.end in kinds for attempt in self.attempts)


@dataclass(frozen=True)
class Objective:
    metric: str
    maximize: bool
    target: float | None = None
    at: str = "last"

    def gain(self, value: float, over: float = 0.0) -> float:
        """How much better `value` is: larger is better for every goal."""
        return value - over if self.maximize else over - value

    def reached(self, value: float) -> bool:
        return self.target is not None and self.gain(value, self.target) >= 0


@dataclass(frozen=True)
class Score:
    """A configuration's mean objective over all its replicates."""

    trials: tuple[int, ...]
    parameters: Parameters
    mean: float
    n: int
    standard_error: float | None  # None when n < 2


def standard_error(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = fmean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


def scores(trials: Iterable[Trial], objective: Objective, replicates: int) -> list[Score]:
    """Configurations at full fidelity with all replicates done, best first; ties go to the earliest.

    An infeasible replicate disqualifies its configuration; failed ones leave it incomplete.
    Trials of a final stage choose nothing and are left out.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in sorted(trials, key=lambda t: t.number):
        full = trial.suggestion.epochs is None and trial.suggestion.fraction is None
        if trial.finished and full and not trial.suggestion.final:
            groups.setdefault(trial.suggestion.configuration, []).append(trial)
    found = []
    for group in groups.values():
        done = {t.suggestion.replicate: t for t in group if t.status is Status.DONE}
        if any(t.status is Status.INFEASIBLE for t in group) or not set(range(replicates)) <= set(done):
            continue
        values = [trial.metrics[objective.metric] for trial in done.values()]
        numbers = tuple(sorted(trial.number for trial in done.values()))
        found.append(
            Score(numbers, group[0].suggestion.parameters, fmean(values), len(values), standard_error(values))
        )
    return sorted(found, key=lambda score: (-objective.gain(score.mean), score.trials))
