"""What the history of a sweep says in numbers, as Prometheus counts."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hypersweep.journal import History
from hypersweep.trial import Attempt, End, Objective, Status, scores

SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400)


@dataclass
class Histogram:
    """Counts per bucket; the last bucket has no upper bound."""

    bounds: tuple[float, ...] = SECONDS
    counts: list[int] = field(default_factory=list)
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        found, total = [], 0
        for bound, count in zip((*map(float, self.bounds), float("inf")), self.counts, strict=True):
            total += count
            found.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
        return found


@dataclass(frozen=True)
class Tally:
    """What a history says in numbers; all of it is computed anew, so that a restart changes nothing."""

    finished: Mapping[str, int] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)
    duration: Histogram = field(default_factory=Histogram)
    queue: Histogram = field(default_factory=Histogram)
    gpu_seconds: float = 0.0
    best: float | None = None
    improved: datetime | None = None


RESULTS = (Status.DONE, Status.INFEASIBLE, Status.FAILED, Status.STOPPED)


def tally(history: History, objective: Objective, replicates: int) -> Tally:
    duration, queue = Histogram(), Histogram()
    restarts = dict.fromkeys((e.value for e in (End.ERROR, End.PREEMPTED, End.LOST, End.SUSPENDED)), 0)
    for trial in history.trials.values():
        for attempt in trial.attempts:
            _time(attempt, duration, queue)
        for attempt in trial.attempts[:-1]:
            if attempt.end is not None:
                restarts[attempt.end.value] = restarts.get(attempt.end.value, 0) + 1
    best = next(iter(scores(history.trials.values(), objective, replicates)), None)
    ends = [history.trials[n].last for n in best.trials] if best else []
    return Tally(
        finished={status.value: history.counts.get(status, 0) for status in RESULTS},
        restarts=restarts,
        duration=duration,
        queue=queue,
        gpu_seconds=history.gpu_seconds,
        best=best.mean if best else None,
        improved=max((end.finished or end.ended for end in ends if end.ended), default=None),
    )


def _time(attempt: Attempt, duration: Histogram, queue: Histogram) -> None:
    if attempt.started is None:
        return
    queue.add(max((attempt.started - attempt.launched).total_seconds(), 0.0))
    over = attempt.finished or attempt.ended
    if over is not None:
        duration.add(max((over - attempt.started).total_seconds(), 0.0))


def reported(status: Mapping[str, Any]) -> Tally:
    """What a status still tells of a sweep that is over."""
    trials = status.get("trials") or {}
    best = status.get("best") or []
    return Tally(
        finished={result.value: trials.get(result.value.lower(), 0) for result in RESULTS},
        restarts=status.get("restarts") or {},
        gpu_seconds=status.get("gpuSeconds") or 0.0,
        best=best[0]["value"] if best else None,
    )
