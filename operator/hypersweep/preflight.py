"""The checks of a sweep's first trial: it runs all of them, and what one finds is about the whole sweep."""

from hypersweep import builtin
from hypersweep.api import SweepSpec
from hypersweep.journal import History
from hypersweep.trial import Checks, Parameters

FIRST = 0  # the trial that runs every check
ALL = "all"
OFF, STOP = "off", "stop"
FAILED = "ChecksFailed"


def mode(spec: SweepSpec, parameters: Parameters) -> str:
    """What follows from a failed check: off, warn or stop. Only the built-in trainer has checks."""
    return OFF if spec.trial.command is not None else str(builtin.option(spec, parameters, "checks"))


def asked(spec: SweepSpec, trial: int, parameters: Parameters) -> bool:
    """Whether a trial runs all checks, not only those that cost nothing."""
    return trial == FIRST and mode(spec, parameters) != OFF


def found(history: History) -> Checks | None:
    """What the checks said; None as long as the first trial has not told."""
    return history.trials[FIRST].checks if FIRST in history.trials else None


def stopped(spec: SweepSpec, history: History) -> str:
    """Why the checks end the sweep; empty when they do not."""
    checks = found(history)
    if checks is None or mode(spec, history.trials[FIRST].suggestion.parameters) != STOP:
        return ""
    return "; ".join(checks.failed)
