"""Values that configurations find for themselves (`lr: auto`): once each, by replicate 0, for the others."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypersweep import builtin
from hypersweep.api import SweepSpec
from hypersweep.journal import History
from hypersweep.trial import Suggestion, Trial


def found(spec: SweepSpec, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers that a run found for itself, of the configuration that it resolved."""
    return {name: resolved[name] for name in builtin.automatic(spec) if _number(resolved.get(name))}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def ready(spec: SweepSpec, history: History, wanted: Sequence[Suggestion]) -> list[Suggestion]:
    """Of these, what may start now, each with what replicate 0 of its configuration found.

    A further replicate waits until that is recorded. Where replicate 0 came to no result that tells it, the
    others find their own: a round has to be filled, and its judge decides what such runs are worth.
    """
    if not builtin.automatic(spec):
        return list(wanted)
    firsts = _firsts(history.trials.values())
    ahead = {one.configuration for one in wanted if one.replicate == 0}
    may = []
    for one in wanted:
        own = firsts.get(one.configuration, [])
        resolved = next((trial.resolved for trial in own if trial.resolved), None)
        waits = one.configuration in ahead or not all(trial.finished for trial in own)
        if one.replicate == 0:
            may.append(one)
        elif resolved or not waits:
            may.append(replace(one, resolved=resolved))
    return may


def _firsts(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """The trials of replicate 0 by their configuration: several where one failed and got another chance."""
    firsts: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.suggestion.replicate == 0:
            firsts.setdefault(trial.suggestion.configuration, []).append(trial)
    return firsts
