"""What of a step people should hear: decisions, failures, what is infeasible, a new phase."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hypersweep import preflight
from hypersweep.api import SweepSpec
from hypersweep.journal import Decided, Ended
from hypersweep.plan import Plan
from hypersweep.status import RANGES_SUFFICE
from hypersweep.trial import Status

SHOWN = 3  # trials that one Event names
INFEASIBLE = 20  # infeasible trials that a sweep tells of: a large one has thousands, for few reasons
TEXT = 300  # characters of the reason of one

News = tuple[str, str, bool]  # reason, message, whether it is a warning


def of_facts(plan: Plan) -> Iterator[News]:
    """The news among what a step recorded: few, whatever the number of trials."""
    for fact in plan.record:
        if isinstance(fact, Decided):
            yield "Decided", f"{fact.name}: {fact.why}", False
        if isinstance(fact, Ended) and fact.checks and fact.checks.failed and plan.reason != preflight.FAILED:
            yield preflight.FAILED, "; ".join(fact.checks.failed), True  # else the sweep's end will say it
    if failed := _ended(plan, Status.FAILED):
        yield "TrialFailed", _named(failed), True
    infeasible = _ended(plan, Status.INFEASIBLE)
    few = plan.history.counts.get(Status.INFEASIBLE, 0) - len(infeasible) < INFEASIBLE
    if infeasible and few and plan.reason != preflight.FAILED:
        yield "TrialInfeasible", _named(infeasible), False


def _ended(plan: Plan, status: Status) -> list[Ended]:
    """The ends that made trials be so, for good."""
    ends = [fact for fact in plan.record if isinstance(fact, Ended) and fact.final]
    return [fact for fact in ends if plan.history.trials[fact.trial].status is status]


def _named(ends: Sequence[Ended]) -> str:
    named = "; ".join(f"trial {fact.trial}: {fact.end}: {fact.reason}"[:TEXT] for fact in ends[:SHOWN])
    return f"{named}; and {len(ends) - SHOWN} more" if len(ends) > SHOWN else named


def of_phase(spec: SweepSpec, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    """The news between two reports."""
    phase = str(after["phase"])
    if before.get("phase") == phase:
        return
    best = after.get("bestValue")
    found = f"; best {spec.objective.metric} = {best}" if best and phase == "Succeeded" else ""
    yield phase, f"{after.get('message') or after.get('reason') or ''}{found}", phase == "Failed"
    for condition in after.get("conditions") or ():
        if condition["type"] == RANGES_SUFFICE:
            yield condition["reason"], condition["message"], True
