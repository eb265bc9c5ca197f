"""What to run next: each strategy as a few pure functions of the spec and what the journal says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hypersweep.api import SweepSpec
from hypersweep.journal import Decided, History
from hypersweep.strategy import iterative, replicate
from hypersweep.strategy.finish import Finish
from hypersweep.trial import Suggestion, Trial

__all__ = ["Finish", "best", "chosen", "decide", "ended", "planned", "suggest"]


@dataclass(frozen=True)
class Strategy:
    suggest: Callable[[SweepSpec, History, int], list[Suggestion]]
    ended: Callable[[SweepSpec, History], Finish | None]
    planned: Callable[[SweepSpec, History], int | None]
    winners: Callable[[SweepSpec, History], list[Trial]]
    decide: Callable[[SweepSpec, History, datetime], Decided | None] = lambda spec, history, now: None
    chosen: Callable[[SweepSpec, History], dict[str, Any] | None] = lambda spec, history: None


SEARCH = Strategy(replicate.suggest, replicate.ended, replicate.planned, replicate.winners)
ITERATIVE = Strategy(
    iterative.suggest,
    iterative.ended,
    iterative.planned,
    iterative.winners,
    iterative.decide,
    iterative.chosen,
)
STRATEGIES: Mapping[str, Strategy] = {
    "list": SEARCH,
    "grid": SEARCH,
    "random": SEARCH,
    "iterative": ITERATIVE,
}


def suggest(spec: SweepSpec, history: History, count: int) -> list[Suggestion]:
    """Up to `count` configurations to launch next, in an order that depends on nothing else."""
    return STRATEGIES[spec.strategy.kind].suggest(spec, history, count) if count > 0 else []


def decide(spec: SweepSpec, history: History, now: datetime) -> Decided | None:
    """The next decision that is due, to be recorded and folded; ask again until there is none."""
    return STRATEGIES[spec.strategy.kind].decide(spec, history, now)


def ended(spec: SweepSpec, history: History) -> Finish | None:
    """Why nothing will ever be suggested again, once every trial has ended."""
    return STRATEGIES[spec.strategy.kind].ended(spec, history)


def planned(spec: SweepSpec, history: History) -> int | None:
    """How many trials the whole sweep will launch, as far as it is known; never fewer than there are."""
    return STRATEGIES[spec.strategy.kind].planned(spec, history)


def chosen(spec: SweepSpec, history: History) -> dict[str, Any] | None:
    """What an iterative sweep has chosen so far, and what that gained in the end."""
    return STRATEGIES[spec.strategy.kind].chosen(spec, history)


def best(spec: SweepSpec, history: History) -> Trial | None:
    """The run that stands for the sweep: the best one of the configuration that it found or chose."""
    objective = spec.objective

    def rank(trial: Trial) -> tuple[float, int]:
        return -objective.gain(trial.metrics[objective.metric]), trial.number

    return min(STRATEGIES[spec.strategy.kind].winners(spec, history), key=rank, default=None)
