"""What an attempt that is over counts as: done, infeasible or a failure, and whether for good."""

import math
from datetime import datetime
from typing import Any

from hypersweep import automatic, preflight
from hypersweep.api import SweepSpec
from hypersweep.journal import Ended, History
from hypersweep.runner import Evidence, Exit, Live, Phase
from hypersweep.trial import Attempt, Checks, End, Trial

FAILURES = (End.ERROR, End.CONFIG, End.TIMEOUT, End.NO_METRICS, End.LOST, End.PREEMPTED)
DISRUPTIONS = (End.PREEMPTED, End.LOST)

SUSPENDED = "Suspended"
START_TIMEOUT = "StartTimeout"
PROGRESS_TIMEOUT = "ProgressTimeout"
TIMEOUTS = {START_TIMEOUT: End.LOST, PROGRESS_TIMEOUT: End.ERROR}  # any other stop is uncharged


def ended(spec: SweepSpec, history: History, attempt: Live, now: datetime) -> Ended | None:
    """The record of an attempt that is over, once it is known whether it left a result."""
    if attempt.phase not in (Phase.ENDED, Phase.GONE) or attempt.evidence is Evidence.UNKNOWN:
        return None
    trial = history.trials[attempt.trial]
    if attempt.phase is Phase.GONE and attempt.evidence is Evidence.ABSENT and trial.last.stop is None:
        return None  # never started, as far as anybody can know: it is launched again
    end, reason = _verdict(spec, trial.last, attempt)
    metrics = {}
    details: dict[str, object] = {}
    if attempt.result is not None:
        found = attempt.result.metrics
        metrics = {name: metric.value for name, metric in found.items() if math.isfinite(metric.value)}
        kept = {name: {"last": m.last, "best": m.best, "bestStep": m.best_step} for name, m in found.items()}
        details = {
            "metrics": {name: {k: v for k, v in m.items() if _storable(v)} for name, m in kept.items()},
            "steps": attempt.result.steps,
            "resumedFrom": attempt.result.resumed_from,
        }
    over = attempt.ended or now
    seconds = (over - attempt.started).total_seconds() if attempt.started else 0.0
    return Ended(
        at=now,
        trial=attempt.trial,
        attempt=attempt.attempt,
        end=end,
        final=_final(spec, trial, end),
        reason=reason,
        metrics=metrics,
        started=attempt.started,
        finished=over,
        gpu_seconds=attempt.gpus * max(seconds, 0.0),
        details={name: value for name, value in details.items() if value},
        checks=_checks(spec, trial, attempt),
        resolved=_resolved(spec, trial, attempt, end),
    )


def _checks(spec: SweepSpec, trial: Trial, attempt: Live) -> Checks | None:
    if attempt.result is None or not preflight.asked(spec, trial.number, trial.suggestion.parameters):
        return None
    return attempt.result.checks


def _resolved(spec: SweepSpec, trial: Trial, attempt: Live, end: End) -> dict[str, Any]:
    """What the other replicates of a configuration need not find again."""
    if attempt.result is None or trial.suggestion.replicate or end not in (End.DONE, End.INFEASIBLE):
        return {}
    return automatic.found(spec, attempt.result.resolved)


def _storable(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _verdict(spec: SweepSpec, attempt: Attempt, seen: Live) -> tuple[End, str]:
    """How an attempt ended and why, in words."""
    if seen.result is not None and seen.result.status != "failed":
        return _judge(spec, seen)
    reason = seen.result.reason if seen.result is not None and seen.result.reason else seen.cause
    if attempt.stop is not None:
        return TIMEOUTS.get(attempt.stop, End.SUSPENDED), attempt.stop
    match seen.exit:
        case Exit.COMPLETE:
            metric = spec.objective.metric
            return End.NO_METRICS, reason or f"it completed, but reported no result: no {metric!r} to compare"
        case Exit.CHECKPOINTED if seen.step is not None:
            return End.PREEMPTED, reason or "stopped from outside, with a checkpoint"
        case Exit.CONFIG:
            return End.CONFIG, reason
        case Exit.PREEMPTED:
            return End.PREEMPTED, reason
        case Exit.TIMEOUT:
            return End.TIMEOUT, reason or f"it ran longer than spec.trial.timeout ({spec.trial.timeout})"
        case Exit.LOST:
            return End.LOST, reason
    return End.ERROR, reason


def _judge(spec: SweepSpec, seen: Live) -> tuple[End, str]:
    """A result that a trial stands by: its objective must be there, and finite."""
    assert seen.result is not None
    if seen.result.status == "infeasible":
        return End.INFEASIBLE, seen.result.reason
    name = spec.objective.metric
    metric = seen.result.metrics.get(name)
    if metric is None:
        names = ", ".join(sorted(seen.result.metrics)) or "none"
        return End.NO_METRICS, f"the result must hold the objective {name!r}, but it holds: {names}"
    if not math.isfinite(metric.value):
        return End.INFEASIBLE, seen.result.reason or f"{name} is {metric.value}"
    return End.DONE, ""


def _final(spec: SweepSpec, trial: Trial, end: End) -> bool:
    """Whether a trial ends with this end of an attempt."""
    match end:
        case End.SUSPENDED:
            return False
        case End.ERROR:
            return trial.ends(End.ERROR) >= spec.retries.errors
        case End.PREEMPTED | End.LOST:
            return trial.ends(*DISRUPTIONS) >= spec.retries.preemptions
    return True
