"""The verdict on a round of a stage, as a fact with all its numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import Any

from hypersweep.journal import Decided, History
from hypersweep.strategy import sentence
from hypersweep.strategy.judge import LEVEL, Contender, Verdict, interval, judge
from hypersweep.strategy.position import CHALLENGERS, Kind, Position, frozen, plain, same
from hypersweep.strategy.rounds import Cell, results
from hypersweep.strategy.stage import refined
from hypersweep.trial import Objective, Parameters, Slot, Status, Trial


@dataclass(frozen=True)
class Look:
    """What an arm has shown at replicate 0: its best point so far."""

    arm: int
    parameters: Parameters
    trial: Trial | None  # None: no point came to a feasible result
    tried: int = 1
    infeasible: int = 0

    def document(self, objective: Objective, kept: bool) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "parameters": plain(self.parameters),
            "trial": self.trial.number if self.trial else None,
            "mean": self.trial.metrics.get(objective.metric) if self.trial else None,
            "n": 1 if self.trial else 0,
            "tried": self.tried,
            "infeasible": self.infeasible,
            "kept": kept,
        }


def decided(
    at: Position, history: History, now: datetime, cells: Sequence[Cell], trials: Mapping[Slot, Trial]
) -> Decided:
    """What follows from a stage's round, all of whose slots have ended."""
    if not cells:
        return _fact(at, history, now, Kind.ADOPT, sentence.unchanged(at.incumbent, at.searched), {})
    if at.opening is not None and at.opening.kind == Kind.SHORTLIST:
        return _adopt(at, history, now, contenders(cells, trials), at.spec.seeds - 1)
    replicates = {cell.slot.replicate for cell in cells}
    if at.opening is None and not at.retunes and len(replicates) == at.spec.seeds:
        return _adopt(at, history, now, contenders(cells, trials), at.spec.seeds)
    looks = _looks(at, history, cells, trials)
    if at.opening is None and at.retunes:
        points = at.coarse_points
        if any(look.trial and refined(at.space, look.parameters, points) for look in looks[1:]):
            return _refine(at, history, now, looks, points)
    return _shortlist(at, history, now, looks)


def contenders(cells: Iterable[Cell], trials: Mapping[Slot, Trial]) -> list[Contender]:
    """The arms of a round, each with its run on every replicate."""
    arms: dict[int, list[Cell]] = {}
    for cell in cells:
        arms.setdefault(cell.slot.arm, []).append(cell)
    return [
        Contender(
            arm,
            own[0].suggestion.parameters,
            {cell.slot.replicate: trials[cell.slot] for cell in own},
        )
        for arm, own in sorted(arms.items())
    ]


# -- replicate 0: which arms are worth more runs


def _looks(at: Position, history: History, cells: Sequence[Cell], trials: Mapping[Slot, Trial]) -> list[Look]:
    """The best point of each arm over the rounds at replicate 0; ties go to the one tried first."""
    objective = at.spec.objective
    looks: dict[int, Look] = {}
    for arm in at.opening.numbers["arms"] if at.opening is not None else ():
        before = None if arm["trial"] is None else history.trials[arm["trial"]]
        number, best = arm["arm"], frozen(arm["parameters"])
        looks[number] = Look(number, best, before, arm["tried"], arm["infeasible"])
    for cell in cells:
        arm, trial, parameters = cell.slot.arm, trials[cell.slot], cell.suggestion.parameters
        look = looks.get(arm) or Look(arm, parameters, None, tried=0)
        done, bad = trial.status is Status.DONE, trial.status is Status.INFEASIBLE
        better = done and (look.trial is None or _value(objective, trial) > _value(objective, look.trial))
        point = (parameters, trial) if better else (look.parameters, look.trial)
        looks[arm] = Look(arm, *point, look.tried + 1, look.infeasible + bad)
    return [looks[arm] for arm in sorted(looks)]


def _value(objective: Objective, trial: Trial) -> float:
    return objective.gain(trial.metrics[objective.metric])


def _refine(
    at: Position, history: History, now: datetime, looks: Sequence[Look], points: Mapping[str, int]
) -> Decided:
    """Every arm with a feasible point is looked at more closely, around its best one."""
    objective = at.spec.objective
    kept = [look for look in looks[1:] if look.trial is not None]
    numbers = {
        "arms": [look.document(objective, look in kept) for look in looks],
        "points": dict(points),
    }
    why = sentence.refining(_shown(at, kept), objective, at.stages[at.stage].retune)
    return _fact(at, history, now, Kind.REFINE, why, numbers)


def _shortlist(at: Position, history: History, now: datetime, looks: Sequence[Look]) -> Decided:
    """The incumbent and its best challengers go on to the remaining replicates, if there are any."""
    objective = at.spec.objective
    incumbent, *others = looks
    feasible = [look for look in others if look.trial and not same(look.parameters, incumbent.parameters)]
    ranked = sorted(feasible, key=lambda look: (-_value(objective, look.trial or _never()), look.arm))
    if not ranked or at.spec.seeds == 1:
        first = [look for look in (incumbent, *ranked) if look.trial is not None]
        compared = [Contender(look.arm, look.parameters, {0: look.trial}) for look in first if look.trial]
        return _adopt(at, history, now, compared, 1)
    kept = [*([] if incumbent.infeasible else [incumbent]), *ranked[:CHALLENGERS]]
    numbers = {"arms": [look.document(objective, look in kept) for look in looks]}
    why = sentence.shortlisted(_shown(at, ranked[:CHALLENGERS]), objective, len(others), at.spec.seeds - 1)
    return _fact(at, history, now, Kind.SHORTLIST, why, numbers)


def _never() -> Trial:
    raise AssertionError("only arms with a result are ranked")


def _shown(at: Position, looks: Sequence[Look]) -> list[tuple[str, float]]:
    metric = at.spec.objective.metric
    return [
        (sentence.described(look.parameters, at.tuned), look.trial.metrics[metric])
        for look in looks
        if look.trial is not None
    ]


# -- all replicates: which arm is the incumbent from here on


def _adopt(
    at: Position, history: History, now: datetime, contenders: Sequence[Contender], replicates: int
) -> Decided:
    assert at.spec.strategy.iterative is not None
    objective, least = at.spec.objective, at.spec.strategy.iterative.min_improvement
    absolute, sigma = (least.absolute, least.sigma) if least else (None, None)
    verdict = judge(contenders, objective, replicates, absolute, sigma)
    why = sentence.adopted(verdict, objective, at.incumbent, at.tuned)
    numbers: dict[str, Any] = {
        "metric": objective.metric,
        "goal": "maximize" if objective.maximize else "minimize",
        "arms": [_arm(verdict, contender, objective) for contender in contenders],
        "challengers": len(verdict.gains),
        "replicates": sorted({r for contender in contenders for r in contender.trials}),
        "noise": verdict.noise.deviation if verdict.noise else None,
        "degreesOfFreedom": verdict.noise.freedom if verdict.noise else 0,
        "criticalValue": verdict.critical,
        "threshold": verdict.threshold,
        "level": LEVEL,
    }
    if verdict.winner is None:
        return _fact(at, history, now, Kind.INFEASIBLE, why, numbers)
    winner = verdict.winner.parameters
    numbers["incumbent"], reached = _standing(at, history, winner)
    if objective.target is not None:
        numbers["targetReached"] = reached
    if reached:
        why += f"; this reaches the target {objective.target:g}"
    return _fact(at, history, now, Kind.ADOPT, why, numbers, winner)


def _arm(verdict: Verdict, contender: Contender, objective: Objective) -> dict[str, Any]:
    """One arm's numbers; `gain` is positive where it is better than the incumbent, whatever the goal."""
    values = list(contender.values(objective.metric).values())
    gain, noise = verdict.gains.get(contender.arm), verdict.noise
    document: dict[str, Any] = {
        "arm": contender.arm,
        "parameters": plain(contender.parameters),
        "n": len(values),
        "mean": fmean(values) if values else None,
        "trials": sorted(trial.number for trial in contender.trials.values()),
        "infeasible": sum(trial.status is Status.INFEASIBLE for trial in contender.trials.values()),
        "gain": gain.mean if gain else None,
        "compared": gain.n if gain else 0,
    }
    if gain and noise:
        error = verdict.standard_error(contender.arm)
        assert error is not None
        document |= {"standardError": error, "interval": list(interval(gain.mean, error, noise.freedom))}
    return document


def _standing(at: Position, history: History, winner: Parameters) -> tuple[dict[str, Any], bool]:
    """The new incumbent's mean over all its replicates, and whether it reaches the target with them."""
    objective = at.spec.objective
    probe = [(at.run(winner, replicate), replicate) for replicate in range(at.spec.seeds)]
    found = results(history, {run for run, _ in probe})
    done = [found[run] for run, _ in probe if run in found and found[run].status is Status.DONE]
    values = [trial.metrics[objective.metric] for trial in done]
    mean = fmean(values) if values else None
    complete = len(values) == at.spec.seeds
    document = {"mean": mean, "n": len(values), "trials": sorted(trial.number for trial in done)}
    return document, complete and mean is not None and objective.reached(mean)


# -- the fact


def _fact(
    at: Position,
    history: History,
    now: datetime,
    kind: Kind,
    why: str,
    numbers: Mapping[str, Any],
    winner: Parameters | None = None,
) -> Decided:
    after = at.incumbent if winner is None else winner
    return Decided(
        at=now,
        stage=at.stage,
        name=at.name,
        kind=kind.value,
        round=at.round,
        parameters=dict(after),
        adopted=not same(after, at.incumbent),
        why=why,
        numbers={**numbers, "fixed": plain(at.fixed), **cost(history, at.stage)},
    )


def cost(history: History, stage: int) -> dict[str, Any]:
    """What a stage has run so far."""
    own = [t for t in history.trials.values() if t.suggestion.slot and t.suggestion.slot.stage == stage]
    return {
        "runs": len(own),
        "gpuSeconds": sum(attempt.gpu_seconds for trial in own for attempt in trial.attempts),
    }
