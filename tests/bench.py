"""A sweep in a simulated world, and the manifests that the tests of its passes share."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypersweep.api import SweepSpec, load
from hypersweep.journal import Decided, Ended, Launched, decode
from hypersweep.model import NoModel
from hypersweep.reconcile import Step, Sweep
from hypersweep.store import Store
from hypersweep.trial import Suggestion
from tests.world import Crash, MemoryJournal, World, WorldRunner, measured

GRID = """
apiVersion: hypersweep.io/v1alpha1
kind: HyperSweep
metadata: {name: grid}
spec:
  objectives: [{metric: loss, goal: minimize}]
  parameters: [{name: x, int: {min: 0, max: 8}}]
  strategy: {grid: {}}
  parallelism: 3
  trial: {podTemplate: {spec: {containers: [{name: trial, command: [train]}]}}}
"""

BUILT_IN = """
apiVersion: hypersweep.io/v1alpha1
kind: HyperSweep
metadata: {name: built-in}
spec:
  objectives: [{metric: val_loss, goal: minimize}]
  parameters: [{name: batch_size, choice: [8, 16, 32, 64, 128]}]
  strategy: {grid: {}}
  parallelism: 3
"""


def loss(suggestion: Suggestion) -> float:
    x, y = suggestion.parameters["x"], suggestion.parameters.get("y", "a")
    assert isinstance(x, int)
    noise = Random(f"{suggestion.seed}:{x}:{y}").gauss(0, 0.05)
    return (x - 3) ** 2 + {"a": 2, "b": 0, "c": 1}[str(y)] + noise


def a_spec(text: str = GRID, **changes: object) -> SweepSpec:
    return load(text).spec.model_copy(update=changes)


def a_built_in(trainer: str = "data: digits", text: str = BUILT_IN, **changes: object) -> SweepSpec:
    return a_spec(f"{text}  trainer: {{{trainer}}}\n", **changes)


@dataclass
class Bench:
    """A sweep in a simulated world, whose process may be started anew at any time."""

    spec: SweepSpec = field(default_factory=a_spec)
    world: World = field(default_factory=lambda: World(measured(loss)))
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    store: Store | None = None
    models: dict[str, str] = field(default_factory=dict)  # of other sweeps

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.sweep = Sweep("u1", self.journal, WorldRunner(self.world), store=self.store, find=self.find)

    def find(self, name: str) -> str:
        if name not in self.models:
            raise NoModel(f"sweep {name}", "NotFound", "is not there")
        return self.models[name]

    def step(self) -> Step:
        return self.sweep.step(self.spec, self.world.now)

    def run(self, ticks: int = 1000, restart: bool = False) -> Step:
        for _ in range(ticks):
            try:
                step = self.step()
            except Crash:
                self.restart()
                continue
            if step.plan.phase.terminal and not step.busy:
                return step
            self.world.tick()
            if restart:
                self.restart()
        raise AssertionError("the sweep does not end")

    def facts(self, kind: type) -> list[Any]:
        return [
            fact for segment in self.journal.segments for fact in decode(segment) if isinstance(fact, kind)
        ]

    def outcome(self) -> tuple[object, ...]:
        """What must not depend on order, time or crashes."""
        launched = {f.trial: f.suggestion for f in self.facts(Launched) if f.suggestion}
        ended = {f.trial: f.metrics for f in self.facts(Ended) if f.final}
        trials = sorted(
            (s.slot, s.draw, sorted(s.parameters.items()), s.seed, str(s.resolved)) for s in launched.values()
        )
        decisions = [(d.stage, d.kind, d.round, d.parameters, d.adopted) for d in self.facts(Decided)]
        return trials, decisions, sorted(str(sorted(m.items())) for m in ended.values())
