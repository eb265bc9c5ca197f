"""Where an iterative sweep stands, by its decisions alone; and the round that is open there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from hypersweep.api import SweepSpec
from hypersweep.journal import Decided, History
from hypersweep.searchspec import Stage
from hypersweep.space import Space, Value
from hypersweep.strategy.rounds import Cell, Run
from hypersweep.strategy.stage import Configuration, arms, coarse, coarse_points, fine
from hypersweep.trial import Parameters, Slot, Suggestion, identity, replicate_seed

CHALLENGERS = 3  # so many of the best run the remaining replicates beside the incumbent
TOGETHER = 4  # a stage of at most so many arms runs all replicates at once


class Kind(StrEnum):
    """The decisions: what one round found, and so what the next one is for."""

    REFINE = "refine"  # the best coarse point of each arm, to look around it
    SHORTLIST = "shortlist"  # the arms that run the remaining replicates
    ADOPT = "adopt"  # a stage's last word: the incumbent from here on
    INFEASIBLE = "infeasible"  # no arm is left
    FINAL = "final"  # the gain over the start


@dataclass(frozen=True)
class Position:
    """Everything that the open round depends on, read back from what was decided."""

    spec: SweepSpec
    space: Space
    stage: int
    round: int
    incumbent: Configuration
    since: int | None  # the decision that set the incumbent; None for the start
    opening: Decided | None  # the decision of this stage that opened the round; None for its first
    over: bool = False

    @property
    def final(self) -> bool:
        return self.stage == len(self.stages)

    @property
    def stages(self) -> Sequence[Stage]:
        assert self.spec.strategy.iterative is not None
        return self.spec.strategy.iterative.stages

    @property
    def fresh_seeds(self) -> int:
        assert self.spec.strategy.iterative is not None
        final = self.spec.strategy.iterative.final
        return final.seeds if final is not None else 0

    @property
    def searched(self) -> tuple[str, ...]:
        """What the arms of this stage are about."""
        return () if self.final else self.stages[self.stage].parameters

    @property
    def retunes(self) -> bool:
        return not self.final and bool(self.stages[self.stage].retune)

    @property
    def tuned(self) -> tuple[str, ...]:
        """What this stage varies."""
        return () if self.final else (*self.searched, *self.stages[self.stage].retune)

    @cached_property
    def fixed(self) -> Configuration:
        """What it holds: the conclusion stands for these values."""
        return {name: value for name, value in self.incumbent.items() if name not in self.tuned}

    @property
    def name(self) -> str:
        return "final" if self.final else " + ".join(self.searched)

    @property
    def seed(self) -> str:
        return f"{self.spec.seed}:{self.stage}"

    @cached_property
    def challengers(self) -> list[Configuration]:
        """The arms of the open stage beside the incumbent."""
        return arms(self.space, self.stages[self.stage], self.incumbent, self.seed)

    @cached_property
    def coarse_points(self) -> dict[str, int]:
        return coarse_points(self.space, self.stages[self.stage].retune, self.challengers)

    def run(self, parameters: Parameters, replicate: int) -> Run:
        return identity(parameters), replicate_seed(self.spec.seed, replicate)


def position(spec: SweepSpec, history: History) -> Position:
    """Where the sweep stands after its last decision."""
    space = spec.space
    adopted = [n for n, decision in enumerate(history.decisions) if decision.kind == Kind.ADOPT]
    since = adopted[-1] if adopted else None
    incumbent = space.start() if since is None else frozen(history.decisions[since].parameters)
    last = history.decisions[-1] if history.decisions else None
    if last is None:
        return Position(spec, space, 0, 0, incumbent, since, None)
    if last.kind in (Kind.REFINE, Kind.SHORTLIST):
        return Position(spec, space, last.stage, last.round + 1, incumbent, since, last)
    assert spec.strategy.iterative is not None
    stages = len(spec.strategy.iterative.stages)
    stage = stages if last.numbers.get("targetReached") else last.stage + 1
    over = last.kind in (Kind.FINAL, Kind.INFEASIBLE) or (
        stage == stages and spec.strategy.iterative.final is None
    )
    return Position(spec, space, stage, 0, incumbent, since, None, over)


def frozen(parameters: Mapping[str, Any]) -> Configuration:
    """A configuration as the core holds it: a journal gives lists back for tuples."""
    return {name: _frozen(value) for name, value in parameters.items()}


def plain(parameters: Mapping[str, Value]) -> dict[str, Any]:
    """A configuration as a journal gives it back: the numbers of a decision are the same before and after."""
    return {name: _plain(value) for name, value in parameters.items()}


def _plain(value: Value) -> Any:
    return list(map(_plain, value)) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Value:
    result: Value = tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
    return result


# -- rounds


def cells(at: Position) -> list[Cell]:
    """The slots of the open round, in the order in which they launch."""
    if at.over:
        return []
    if at.final:
        return _final(at)
    opening = at.opening
    if opening is None:
        return _search(at)
    return _fine(at, opening) if opening.kind == Kind.REFINE else _compare(at, opening)


def _search(at: Position) -> list[Cell]:
    """The first round of a stage: the incumbent and every arm, each at its first points."""
    stage = at.stages[at.stage]
    challengers = at.challengers
    if not challengers:
        return []
    if not stage.retune:
        replicates = at.spec.seeds if len(challengers) < TOGETHER else 1
        contenders = list(enumerate([at.incumbent, *challengers]))
        return [_cell(at, arm, 0, r, values) for r in range(replicates) for arm, values in contenders]
    looked = [coarse(at.space, arm, at.coarse_points, at.seed) for arm in challengers]
    return [_cell(at, 0, 0, 0, at.incumbent), *_pointwise(at, dict(enumerate(looked, 1)))]


def _fine(at: Position, opening: Decided) -> list[Cell]:
    """The second round of a stage that retunes: around the best point of each arm."""
    points = opening.numbers["points"]
    best = {arm["arm"]: frozen(arm["parameters"]) for arm in opening.numbers["arms"] if arm["kept"]}
    looked = {arm: fine(at.space, parameters, points) for arm, parameters in best.items() if arm != 0}
    return _pointwise(at, looked)


def _pointwise(at: Position, looked: Mapping[int, Sequence[Configuration]]) -> list[Cell]:
    """Each arm's first point, then each arm's second: an early end leaves none behind."""
    most = max(map(len, looked.values()), default=0)
    return [
        _cell(at, arm, point, 0, points[point])
        for point in range(most)
        for arm, points in looked.items()
        if point < len(points)
    ]


def _compare(at: Position, opening: Decided) -> list[Cell]:
    """The last round of a stage: the incumbent and its best challengers on the remaining replicates."""
    kept = [arm for arm in opening.numbers["arms"] if arm["kept"]]
    return [
        _cell(at, arm["arm"], 0, replicate, frozen(arm["parameters"]))
        for replicate in range(1, at.spec.seeds)
        for arm in kept
    ]


def _final(at: Position) -> list[Cell]:
    """The chosen and the start configuration on seeds that nothing was chosen by."""
    fresh = range(at.spec.seeds, at.spec.seeds + at.fresh_seeds)
    contenders = list(enumerate([at.incumbent, at.space.start()]))
    return [_cell(at, arm, 0, replicate, values) for replicate in fresh for arm, values in contenders]


def _cell(at: Position, arm: int, point: int, replicate: int, values: Configuration) -> Cell:
    slot = Slot(at.stage, at.round, arm, point, replicate)
    seed = replicate_seed(at.spec.seed, replicate)
    base = {"held": [] if at.final else list(at.fixed), "decision": at.since}
    return Cell(slot, Suggestion(values, seed, replicate, slot=slot, base=base, final=at.final))


def same(one: Mapping[str, Value], other: Mapping[str, Value]) -> bool:
    return identity(one) == identity(other)
