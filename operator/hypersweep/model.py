"""The model that a sweep leaves as its best, and those of other sweeps that its trials start from."""

import json
import re
from collections.abc import Callable

from hypersweep import builtin, contract, strategy
from hypersweep.api import SweepSpec
from hypersweep.journal import History
from hypersweep.scalar import SWEEP_NAME
from hypersweep.sweepspec import LONGEST_NAME
from hypersweep.trial import Parameters

OPTION = "pretrained"
SCHEME = "sweep://"
FORM = f"{SCHEME}NAME/best"
FOLDER = re.compile(r"trials/[0-9]{5,}/attempts/[0-9]+/" + contract.MODEL)

Find = Callable[[str], str]  # the URL of the best model of a sweep, by its name; raises NoModel


class NoModel(ValueError):
    """A sweep that is to start from has no best model, or not yet."""

    def __init__(self, what: str, reason: str, words: str) -> None:
        super().__init__(f"{OPTION}: {what} {words}")
        self.reason = reason


# -- what a sweep leaves


def best(spec: SweepSpec, history: History) -> bytes | None:
    """`model/best.json`; None where no model stands for the sweep."""
    trial = strategy.best(spec, history)
    if trial is None or spec.trial.command is not None:
        return None
    if not builtin.option(spec, trial.suggestion.parameters, "save_model"):
        return None
    number, attempt = trial.number, trial.last.number
    document = {
        "trial": number,
        "attempt": attempt,
        "prefix": f"{contract.attempt_prefix(number, attempt)}/{contract.MODEL}",
        "metrics": dict(trial.metrics),
    }
    return json.dumps(document, indent=1).encode()


def folder(best: bytes) -> str:
    """Where a sweep's best model lies below its prefix, by its `model/best.json`; raises ValueError."""
    document = json.loads(best)
    prefix = document.get("prefix") if isinstance(document, dict) else None
    if not isinstance(prefix, str) or not FOLDER.fullmatch(prefix):
        raise ValueError(f"`prefix` must name the model of a trial, but got {prefix!r}")
    return prefix


# -- what its trials start from


def located(spec: SweepSpec, find: Find) -> dict[str, str]:
    """Where each model lies that a sweep names as `sweep://NAME/best`. Raises NoModel."""
    if spec.trial.command is not None:
        return {}
    named = [value for value in builtin.values(spec, OPTION) if str(value).startswith(SCHEME)]
    return {text: find(_name(text)) for text in named}


def _name(text: str) -> str:
    """Of the same namespace, always: the form has no place for another."""
    name, _, which = text.removeprefix(SCHEME).partition("/")
    if which != "best" or len(name) > LONGEST_NAME or not re.fullmatch(SWEEP_NAME, name):
        raise NoModel(text, "InvalidName", f"must have the form {FORM}")
    return name


def start(spec: SweepSpec, history: History, parameters: Parameters) -> str | None:
    """The URL of the model that a trial starts from, as it was when the sweep began."""
    if history.opened is None or not history.opened.models:
        return None
    return history.opened.models.get(builtin.option(spec, parameters, OPTION))
