"""A sweep in closed loop: its strategy against a known function, in any order, restarted at will."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from hypersweep import strategy
from hypersweep.api import SweepSpec, load
from hypersweep.journal import Decided, Ended, Fact, History, Launched, decode, encode
from hypersweep.strategy import Finish
from hypersweep.trial import End, Slot, Suggestion

NOW = datetime(2026, 1, 1, tzinfo=UTC)

Outcome = float | End  # what a trial measures, or how else it ends
Function = Callable[[Suggestion], Outcome]


def a_sweep(
    strategy: Mapping[str, Any],
    parameters: list[Mapping[str, Any]] | None = None,
    goal: str = "maximize",
    target: float | None = None,
    **spec: Any,
) -> SweepSpec:
    """A sweep of a script of one's own that reports `score`."""
    objective = {"metric": "score", "goal": goal} | ({} if target is None else {"target": target})
    document = {
        "apiVersion": "hypersweep.io/v1alpha1",
        "kind": "HyperSweep",
        "metadata": {"name": "simulated"},
        "spec": {
            "objectives": [objective],
            "strategy": strategy,
            "trial": {"podTemplate": {"spec": {"containers": [{"name": "trial", "command": ["train"]}]}}},
            **({} if parameters is None else {"parameters": parameters}),
            **spec,
        },
    }
    return load(document).spec


@dataclass
class Simulation:
    """Facts are folded as they are; after a restart they are read back from the journal's own encoding."""

    spec: SweepSpec
    function: Function
    order: Random | None = None  # trials end in this random order, one by one; None: all at once
    restart: bool = False  # before every tick
    parallelism: int = 1000
    history: History = field(default_factory=History)
    journal: bytes = b""
    facts: list[Fact] = field(default_factory=list)  # since the last restart

    def record(self, *facts: Fact) -> None:
        self.facts += facts
        self.history = self.history.fold(facts)

    def tick(self) -> None:
        """One pass: decisions, launches, and some of the running trials end."""
        if self.restart:
            self.journal += encode(self.facts)
            self.facts = []
            self.history = History().fold(decode(self.journal))
        while decision := strategy.decide(self.spec, self.history, NOW):
            self.record(decision)
        room = self.parallelism - len(self.history.unfinished)
        if self.spec.max_trials is not None:
            room = min(room, self.spec.max_trials - self.history.launched)
        first = self.history.launched
        suggestions = strategy.suggest(self.spec, self.history, room)
        self.record(*(Launched(NOW, first + i, 0, suggestion) for i, suggestion in enumerate(suggestions)))
        running = sorted(self.history.unfinished)
        ending = running if self.order is None else self.order.sample(running, min(len(running), 1))
        self.record(*map(self.ended, ending))

    def ended(self, number: int) -> Ended:
        outcome = self.function(self.history.trials[number].suggestion)
        if isinstance(outcome, End):
            return Ended(NOW, number, 0, outcome, True, gpu_seconds=1.0)
        return Ended(NOW, number, 0, End.DONE, True, metrics={"score": outcome}, gpu_seconds=1.0)

    def run(self, ticks: int = 20_000) -> Finish:
        for _ in range(ticks):
            before = len(self.facts)
            self.tick()
            if (finish := strategy.ended(self.spec, self.history)) is not None:
                return finish
            if not self.restart and len(self.facts) == before:
                break
        raise AssertionError(
            f"the sweep does not end: {self.history.launched} trials, {self.history.decisions}"
        )

    @property
    def suggestions(self) -> list[Suggestion]:
        return [self.history.trials[number].suggestion for number in sorted(self.history.trials)]

    @property
    def slots(self) -> dict[Slot, tuple[str, int]]:
        return {s.slot: (s.configuration, s.seed) for s in self.suggestions if s.slot is not None}

    @property
    def decisions(self) -> list[Decided]:
        return list(self.history.decisions)


def noise(suggestion: Suggestion, deviation: float) -> float:
    """An offset that every configuration shares on one seed, and one of its own: both repeatable."""
    shared = Random(f"shared:{suggestion.seed}").gauss(0, deviation)
    return shared + Random(f"{suggestion.seed}:{suggestion.configuration}").gauss(0, deviation)
