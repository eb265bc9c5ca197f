"""What a stage of an iterative sweep compares: its arms, and the points at which each arm is retuned."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from hypersweep.searchspec import Stage
from hypersweep.space import Case, Choice, Domain, Parameter, Space, Value, axis, narrow, sample
from hypersweep.space import size as values_of
from hypersweep.strategy.grid import spaced
from hypersweep.strategy.tree import Tree
from hypersweep.trial import Parameters, identity

ALL_VALUES = 7  # a discrete parameter with at most so many values gives all of them
POINTS = 5  # what any other range gives
PER_DIMENSION = 8  # configurations per parameter when several are searched together
COARSE_LOG, COARSE_LINEAR = 3, 4  # points of the first look at a nuisance parameter, of a log range at least
FINE = 3  # points of the second look, the best of the first among them
TRIES = 50  # draws per configuration that is wanted: a small discrete space may have no more

Configuration = dict[str, Value]
Axis = Callable[[str, Domain], Sequence[Value]]


@dataclass(frozen=True)
class Neighbourhood:
    """The configurations that differ from a base one in a few free parameters only."""

    space: Space
    base: Parameters
    free: Sequence[str]
    narrow: float | None = None  # how much smaller a range is searched, around the base's own value

    def domain(self, parameter: Parameter, case: Case) -> Domain:
        """Where a free parameter is searched: in another branch than the base's, its whole range there."""
        if self.narrow is None or not self._same_branch(parameter, case):
            return case.domain
        return narrow(case.domain, self.base[parameter.name], self.narrow)

    def held(self, parameter: Parameter, case: Case) -> Value:
        """Where any other one stays; one that falls into another case starts afresh in it."""
        return self.base[parameter.name] if self._same_branch(parameter, case) else case.first

    def _same_branch(self, parameter: Parameter, case: Case) -> bool:
        return parameter.name in self.base and parameter.case(self.base) is case

    def tree(self, values: Axis) -> Tree:
        """All combinations of the free parameters' values."""

        def options(parameter: Parameter, case: Case) -> Sequence[Value]:
            if parameter.name in self.free:
                return values(parameter.name, self.domain(parameter, case))
            return (self.held(parameter, case),)

        return Tree(self.space, options)

    def draws(self, seed: str, count: int) -> list[Configuration]:
        """So many different random ones, or as many as there are."""
        return distinct((self._draw(f"{seed}:{draw}") for draw in range(count * TRIES)), count)

    def _draw(self, seed: str) -> Configuration:
        rng = Random(seed)  # by index, so that the same stage draws the same arms after a restart
        values: Configuration = {}
        for parameter in self.space.order:
            case = parameter.case(values)
            if case is None:
                continue
            free = parameter.name in self.free
            values[parameter.name] = (
                sample(self.domain(parameter, case), rng) if free else self.held(parameter, case)
            )
        return dict(sorted(values.items()))

    def searched(self, values: Axis, seed: str) -> list[Configuration]:
        """All combinations of one parameter's values or of few; of many, a random share."""
        tree, most = self.tree(values), PER_DIMENSION * len(self.free)
        if len(self.free) == 1 or tree.size <= most:
            return distinct(tree.leaves())
        return self.draws(seed, most)


def distinct(configurations: Iterable[Configuration], most: int | None = None) -> list[Configuration]:
    """The first ones that are different from each other."""
    found: dict[str, Configuration] = {}
    for configuration in configurations:
        if most is not None and len(found) >= most:
            break
        found.setdefault(identity(configuration), configuration)
    return list(found.values())


def arms(space: Space, stage: Stage, incumbent: Parameters, seed: str) -> list[Configuration]:
    """The configurations that a stage sets beside the incumbent, all else where the incumbent has it.

    A stage that retunes gives the incumbent's own values an arm too, for they get the same effort.
    """
    around = Neighbourhood(space, incumbent, stage.parameters, stage.narrow)
    found = _searched(around, stage, seed)
    if stage.retune:
        return distinct([dict(incumbent), *found])
    return [arm for arm in found if identity(arm) != identity(incumbent)]


def _searched(around: Neighbourhood, stage: Stage, seed: str) -> list[Configuration]:
    search = stage.search
    if search is not None and search.random is not None:
        return around.draws(seed, PER_DIMENSION * len(stage.parameters))
    if search is not None and (grid := search.grid) is not None:
        points = grid.points or POINTS
        tree = around.tree(lambda _, domain: spaced(domain, points, grid.per_decade, ALL_VALUES))
        return distinct(tree.leaves())
    return around.searched(lambda _, domain: spaced(domain, POINTS, None, ALL_VALUES), seed)


# -- nuisance parameters


def coarse_points(space: Space, retune: Sequence[str], arms: Sequence[Parameters]) -> dict[str, int]:
    """How many values of each nuisance parameter every arm tries first: the same effort for each arm."""
    wanted = {
        name: [_points(case.domain) for arm in arms if (case := space.parameter(name).case(arm)) is not None]
        for name in retune
    }
    return {name: max(counts) for name, counts in wanted.items() if counts}


def _points(domain: Domain) -> int:
    count = values_of(domain)
    if isinstance(domain, Choice) or (count is not None and count <= ALL_VALUES):
        return count or 0
    if domain.scale == "log":
        return max(len(axis(domain, per_decade=1)), COARSE_LOG)
    return COARSE_LINEAR


def coarse(space: Space, arm: Parameters, points: Mapping[str, int], seed: str) -> list[Configuration]:
    """The first look at an arm's nuisance parameters: even over its own ranges."""
    around = Neighbourhood(space, arm, tuple(points))
    return around.searched(lambda name, domain: _even(domain, points[name]), seed)


def _even(domain: Domain, points: int) -> Sequence[Value]:
    count = values_of(domain)
    return axis(domain) if count is not None and count <= points else axis(domain, points=points)


def fine(space: Space, best: Parameters, points: Mapping[str, int]) -> list[Configuration]:
    """The second look: half a step of the first to both sides of its best, one parameter at a time."""
    found = []
    for name in refined(space, best, points):
        case = space.parameter(name).case(best)
        assert case is not None
        around = Neighbourhood(space, best, (name,), _step(case.domain, points[name]))
        leaves = around.tree(lambda _, domain: _even(domain, FINE)).leaves()
        found += [leaf for leaf in leaves if not _close(leaf[name], best[name])]
    return distinct(found)


def refined(space: Space, arm: Parameters, points: Mapping[str, int]) -> list[str]:
    """The nuisance parameters of an arm of which the first look did not see all values."""

    def unseen(name: str, count: int) -> bool:
        case = space.parameter(name).case(arm)
        if case is None or isinstance(case.domain, Choice):
            return False
        values = values_of(case.domain)
        return values is None or values > count

    return [name for name, count in points.items() if unseen(name, count)]


def _close(one: Value, other: Value) -> bool:
    """Whether two numbers are one but for the rounding of their last digits."""
    assert isinstance(one, int | float)
    assert isinstance(other, int | float)
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def _step(domain: Domain, points: int) -> float:
    """By how much narrower than the range one step of the first look is, on the range's scale."""
    assert not isinstance(domain, Choice)
    return (domain.max / domain.min) ** (1 / (points - 1)) if domain.scale == "log" else points - 1
