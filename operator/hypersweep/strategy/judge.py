"""Whether a challenger beats the incumbent by more than the noise between seeds: paired comparisons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from hypersweep.strategy.critical import critical_value
from hypersweep.trial import Objective, Parameters, Status, Trial

LEVEL = 0.95  # of the intervals that people read


@dataclass(frozen=True)
class Contender:
    """One arm as it enters a comparison: a configuration and its run on each replicate."""

    arm: int  # 0 is the incumbent
    parameters: Parameters
    trials: Mapping[int, Trial]

    @property
    def infeasible(self) -> bool:
        return any(trial.status is Status.INFEASIBLE for trial in self.trials.values())

    def values(self, metric: str) -> dict[int, float]:
        done = {r: t for r, t in sorted(self.trials.items()) if t.status is Status.DONE}
        return {replicate: trial.metrics[metric] for replicate, trial in done.items()}


@dataclass(frozen=True)
class Gain:
    """How much better a challenger is than the incumbent on the replicates that both have."""

    mean: float
    n: int


@dataclass(frozen=True)
class Noise:
    """The standard deviation between runs of one configuration, effects of the seed itself taken out."""

    deviation: float
    freedom: int


@dataclass(frozen=True)
class Verdict:
    """What a comparison found: `winner` is the incumbent from here on, None when no arm is feasible."""

    winner: Contender | None
    best: Contender | None = None  # the challenger with the largest mean gain
    gains: Mapping[int, Gain] = field(default_factory=dict)  # by arm
    noise: Noise | None = None  # None: unknown
    critical: float | None = None
    threshold: float | None = None  # what the best challenger's gain had to exceed; None: nothing could do
    unusable: bool = False  # the incumbent, so that the best feasible arm took its place

    def standard_error(self, arm: int) -> float | None:
        return None if self.noise is None else self.noise.deviation * math.sqrt(2 / self.gains[arm].n)

    @property
    def margin(self) -> float | None:
        """What the noise alone may give the best challenger; None when it is unknown."""
        error = self.standard_error(self.best.arm) if self.best else None
        return None if error is None or self.critical is None else self.critical * error


def judge(
    contenders: Sequence[Contender],
    objective: Objective,
    replicates: int,
    absolute: float | None,
    sigma: float | None,
) -> Verdict:
    """Compare all contenders with the first one, the incumbent, on so many replicates.

    What is infeasible anywhere is out; what lacks some runs is compared on those it shares, at least two.
    """
    needed = min(2, replicates)
    usable = [c for c in contenders if not c.infeasible and len(c.values(objective.metric)) >= needed]
    if not usable:
        return Verdict(None)
    if usable[0].arm != 0:
        winner = max(usable, key=lambda c: objective.gain(fmean(c.values(objective.metric).values())))
        return Verdict(winner, winner, unusable=True)
    incumbent, *others = usable
    gains = {c.arm: gain for c in others if (gain := _gain(c, incumbent, objective)).n >= needed}
    if not gains:
        return Verdict(incumbent)
    compared = [incumbent, *(c for c in others if c.arm in gains)]
    best = max(compared[1:], key=lambda c: gains[c.arm].mean)
    noise = pooled([c.values(objective.metric) for c in compared])
    critical = None if noise is None else critical_value(len(gains), noise.freedom)
    verdict = Verdict(incumbent, best, gains, noise, critical)
    threshold = _threshold(verdict, absolute, sigma)
    adopted = threshold is not None and gains[best.arm].mean > threshold
    return Verdict(best if adopted else incumbent, best, gains, noise, critical, threshold)


def _gain(challenger: Contender, incumbent: Contender, objective: Objective) -> Gain:
    ours, theirs = challenger.values(objective.metric), incumbent.values(objective.metric)
    shared = [objective.gain(ours[replicate], theirs[replicate]) for replicate in ours if replicate in theirs]
    return Gain(fmean(shared) if shared else 0.0, len(shared))


def _threshold(verdict: Verdict, absolute: float | None, sigma: float | None) -> float | None:
    """What a gain must exceed: the smallest that is worth a change, and what the noise alone may give."""
    if verdict.noise is None or verdict.margin is None:
        return absolute  # a least gain in units of the noise cannot be told when the noise is unknown
    return max(absolute or 0.0, (sigma or 0.0) * verdict.noise.deviation, verdict.margin)


def pooled(rows: Sequence[Mapping[int, float]]) -> Noise | None:
    """The noise that is left when every arm has its level and every replicate its own offset.

    That is the residual of a two-way layout, some of whose cells may be missing: the fit alternates
    between both kinds of effects, which is exact at once where none is missing.
    """
    replicates = sorted({replicate for row in rows for replicate in row})
    freedom = sum(map(len, rows)) - len(rows) - len(replicates) + 1
    if freedom < 1:
        return None
    offsets = dict.fromkeys(replicates, 0.0)
    levels = [0.0] * len(rows)
    for _ in range(100):
        levels = [fmean(value - offsets[r] for r, value in row.items()) for row in rows]
        before = offsets
        offsets = {
            r: fmean(row[r] - level for row, level in zip(rows, levels, strict=True) if r in row)
            for r in replicates
        }
        if offsets == before:
            break
    squares = sum(
        (value - level - offsets[r]) ** 2
        for row, level in zip(rows, levels, strict=True)
        for r, value in row.items()
    )
    return Noise(math.sqrt(squares / freedom), freedom)


def interval(mean: float, error: float, freedom: int) -> tuple[float, float]:
    """The two-sided interval of Student's t around a mean."""
    half = critical_value(1, freedom, (1 - LEVEL) / 2) * error
    return mean - half, mean + half
