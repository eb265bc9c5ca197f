"""Stage after stage from the best so far: each changes a few parameters, and adopts only beyond the noise."""

from datetime import datetime
from typing import Any

from hypersweep import automatic, fruitless
from hypersweep.api import SweepSpec
from hypersweep.journal import Decided, History
from hypersweep.strategy import position, rounds
from hypersweep.strategy.conclusion import concluded
from hypersweep.strategy.decision import decided
from hypersweep.strategy.finish import COMPLETED, NO_FEASIBLE_ARM, TARGET_REACHED, Finish
from hypersweep.strategy.forecast import forecast
from hypersweep.strategy.position import Kind
from hypersweep.trial import Status, Suggestion, Trial, identity

CONCLUSION = ("mean", "startMean", "gain", "standardError", "interval", "level", "n")


def decide(spec: SweepSpec, history: History, now: datetime) -> Decided | None:
    """The verdict on the open round, once each of its slots has ended."""
    at = position.position(spec, history)
    if at.over:
        return None
    cells = position.cells(at)
    trials = rounds.finished(rounds.fill(history, cells))
    if trials is None:
        return None
    return (concluded if at.final else decided)(at, history, now, cells, trials)


def suggest(spec: SweepSpec, history: History, count: int) -> list[Suggestion]:
    """What the open round has yet to launch, the first ones first."""
    cells = position.cells(position.position(spec, history))
    wanted = rounds.missing(cells, rounds.fill(history, cells))
    return automatic.ready(spec, history, wanted)[:count]


def ended(spec: SweepSpec, history: History) -> Finish | None:
    """The end after the last stage, or after the comparison with the start where there is one."""
    if not position.position(spec, history).over:
        return None
    last = history.decisions[-1]
    if last.kind == Kind.INFEASIBLE:
        return Finish(NO_FEASIBLE_ARM, fruitless.after(last.why, _of_stage(history, last.stage)), failed=True)
    reached = any(decision.numbers.get("targetReached") for decision in history.decisions)
    return Finish(TARGET_REACHED if reached else COMPLETED, last.why)


def _of_stage(history: History, stage: int) -> list[Trial]:
    return [
        trial
        for trial in history.trials.values()
        if trial.suggestion.slot is not None and trial.suggestion.slot.stage == stage
    ]


def planned(spec: SweepSpec, history: History) -> int:
    total = forecast(position.position(spec, history), history)
    return total if spec.max_trials is None else max(min(total, spec.max_trials), history.launched)


def chosen(spec: SweepSpec, history: History) -> dict[str, Any]:
    """The incumbent, and its gain over the start once that is known from fresh seeds."""
    found: dict[str, Any] = {"parameters": position.plain(position.position(spec, history).incumbent)}
    last = history.decisions[-1] if history.decisions else None
    if last is not None and last.kind == Kind.FINAL:
        found |= {"start": last.numbers["start"]} | {name: last.numbers.get(name) for name in CONCLUSION}
    return found


def winners(spec: SweepSpec, history: History) -> list[Trial]:
    """The runs of the incumbent by which it was chosen."""
    incumbent = identity(position.position(spec, history).incumbent)
    return [
        trial
        for trial in history.trials.values()
        if trial.status is Status.DONE
        and trial.suggestion.configuration == incumbent
        and not trial.suggestion.final
    ]
