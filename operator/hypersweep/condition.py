"""The conditions of a sweep that its store, its journal and the API server decide."""

from collections.abc import Sequence

from hypersweep.opening import Opened
from hypersweep.reconcile import Step
from hypersweep.status import Condition

DURABLE = Condition("Durable", True, "Stored", "journal, results and metrics are in the store")
RERUN = "a trial whose pod is deleted before its message was read runs again"
OWN_CONTAINER = Condition(
    "Durable",
    True,
    "JournalStored",
    "the journal, with each result that was read, is in the store, and nothing else but what the trial's own"
    f" container writes there: results come by termination messages, and {RERUN}",
)
NOT_DURABLE = Condition(
    "Durable",
    False,
    "NoStore",
    f"no store is named: results come by termination messages, and {RERUN};"
    " there are no models, no checkpoints, no logs and no live values",
)


def of_step(opened: Opened, step: Step) -> Sequence[Condition]:
    """Beside those that follow from the plan alone."""
    found = [Condition("StoreAvailable", True, "Available"), _durability(opened)]
    if opened.runner.refused:
        found.append(Condition("Launching", False, "JobRefused", opened.runner.refused))
    if opened.sweep.journal.full:
        found.append(Condition("JournalFull", True, "JournalFull", "nothing more is launched: name a store"))
    if step.conflicts:
        names = ", ".join(step.conflicts)
        message = f"these names must be free or the sweep's own, but are somebody else's: {names}"
        found.append(Condition("NameConflict", True, "NameTaken", message))
    return found


def _durability(opened: Opened) -> Condition:
    if not opened.durable:
        return NOT_DURABLE
    spec = opened.runner.spec
    return OWN_CONTAINER if spec is not None and spec.trial.command else DURABLE
