"""What of a step people should hear: decisions, failures, a new phase."""

from collections.abc import Iterator, Mapping
from typing import Any

from hypersweep.api import SweepSpec
from hypersweep.journal import Decided, Ended
from hypersweep.plan import Plan
from hypersweep.trial import Status

SHOWN = 3  # failed trials that one Event names


def told(
    spec: SweepSpec, plan: Plan, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, str, bool]]:
    """(reason, message, warning) of each Event of one step; few, whatever the number of trials."""
    for fact in plan.record:
        if isinstance(fact, Decided):
            yield "Decided", f"{fact.name}: {fact.why}", False
    failed = [
        fact
        for fact in plan.record
        if isinstance(fact, Ended) and fact.final and plan.history.trials[fact.trial].status is Status.FAILED
    ]
    if failed:
        named = "; ".join(f"trial {fact.trial}: {fact.end}: {fact.reason}"[:300] for fact in failed[:SHOWN])
        more = f"; and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
        yield "TrialFailed", named + more, True
    if before.get("phase") != after["phase"]:
        message = after.get("message") or after.get("reason") or ""
        best = after.get("bestValue")
        found = f"; best {spec.objective.metric} = {best}" if best and after["phase"] == "Succeeded" else ""
        yield str(after["phase"]), f"{message}{found}", after["phase"] == "Failed"
