"""Where a sweep as a whole is heading: what ends or holds it, and what its end is worth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from hypersweep import fruitless, preflight, strategy
from hypersweep.api import SweepSpec
from hypersweep.journal import History
from hypersweep.runner import Live
from hypersweep.trial import Status, scores
from hypersweep.verdict import SUSPENDED

BUDGET = "BudgetExhausted"
TOO_MANY_FAILED = "TooManyFailed"
NO_RESULT = "NoResult"


class SweepPhase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def terminal(self) -> bool:
        return self in (SweepPhase.SUCCEEDED, SweepPhase.FAILED)


@dataclass(frozen=True)
class Goal:
    """The aim of a pass: whether it launches, or stops what runs, and what the sweep then is."""

    reason: str = "Searching"
    message: str = ""
    launch: bool = True
    halt: str = ""  # why what runs has to stop
    phase: SweepPhase = SweepPhase.RUNNING  # once nothing runs any more


def find(spec: SweepSpec, history: History, running: Sequence[Live], now: datetime) -> Goal:
    """What ends, holds or drives the sweep, the strongest reason first."""
    if wrong := preflight.stopped(spec, history):
        return Goal(preflight.FAILED, wrong, False, preflight.FAILED, SweepPhase.FAILED)
    if many := _too_many_failed(spec, history):
        return Goal(TOO_MANY_FAILED, many, False, TOO_MANY_FAILED, SweepPhase.FAILED)
    if finish := strategy.ended(spec, history):
        phase = SweepPhase.FAILED if finish.failed else SweepPhase.SUCCEEDED
        return Goal(finish.reason, finish.message, False, phase=phase)
    if spec.suspend:
        return Goal(SUSPENDED, "spec.suspend is true", False, SUSPENDED, SweepPhase.SUSPENDED)
    if spent := _spent(spec, history, running, now):
        return Goal(BUDGET, spent, False, BUDGET, SweepPhase.SUCCEEDED)
    if reached := _reached(spec, history):
        return Goal("TargetReached", reached, False, phase=SweepPhase.SUCCEEDED)
    if spec.max_trials is not None and history.launched >= spec.max_trials and not history.unfinished:
        message = f"spec.maxTrials = {spec.max_trials} is used up"
        return Goal("MaxTrialsReached", message, False, phase=SweepPhase.SUCCEEDED)
    return Goal()


def settled(goal: Goal, history: History) -> Goal:
    """Where a sweep of which nothing runs any more has come to: without one result it has failed."""
    if goal.phase is not SweepPhase.SUCCEEDED or history.counts.get(Status.DONE):
        return goal
    message = fruitless.after(f"{goal.message}; no trial came to a result", history.trials.values())
    return replace(goal, phase=SweepPhase.FAILED, reason=NO_RESULT, message=message)


def _too_many_failed(spec: SweepSpec, history: History) -> str:
    count = history.counts.get(Status.FAILED, 0)
    if count <= spec.max_failed_trials:
        return ""
    failed = [trial for trial in history.trials.values() if trial.status is Status.FAILED]
    many = f"{count} trials failed, more than spec.maxFailedTrials = {spec.max_failed_trials}"
    return fruitless.after(many, failed)


def _spent(spec: SweepSpec, history: History, running: Sequence[Live], now: datetime) -> str:
    """Which budget is used up, in words; empty when none is."""
    hours = spec.budget.gpu_hours if spec.budget else None
    if hours is not None:
        used = history.gpu_seconds + sum(
            attempt.gpus * (now - attempt.started).total_seconds()
            for attempt in running
            if attempt.started is not None
        )
        if used >= hours * 3600:
            return f"{used / 3600:.2f} GPU hours are used, spec.budget.gpuHours is {hours}"
    end = wall_clock_end(spec, history)
    if end is not None and now >= end:
        assert spec.budget is not None
        return f"the sweep has run for spec.budget.wallClock = {spec.budget.wall_clock}"
    return ""


def wall_clock_end(spec: SweepSpec, history: History) -> datetime | None:
    if spec.budget is None or spec.budget.wall_clock is None or history.opened is None:
        return None
    return history.opened.at + spec.budget.wall_clock


def _reached(spec: SweepSpec, history: History) -> str:
    """Which configuration has reached the target; iterative sweeps look for themselves, stage by stage."""
    objective = spec.objective
    if objective.target is None or spec.strategy.kind == "iterative":
        return ""
    best = next(iter(scores(history.trials.values(), objective, spec.seeds)), None)
    if best is None or not objective.reached(best.mean):
        return ""
    return f"{objective.metric} = {best.mean:.6g} reaches the target {objective.target:g}"
