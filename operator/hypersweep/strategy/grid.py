"""Every combination of values, over the leaves of the conditional tree."""

from collections.abc import Iterator, Sequence

from hypersweep.api import SweepSpec
from hypersweep.journal import History
from hypersweep.space import Case, Choice, Domain, Parameter, Value, axis
from hypersweep.space import size as values_of
from hypersweep.strategy.tree import Tree

ALL_VALUES = 10  # a discrete parameter with at most so many values gives all of them


def points(spec: SweepSpec, history: History, first: int) -> Iterator[tuple[int, dict[str, Value]]]:
    """The grid's configurations from an index on."""
    tree = _tree(spec)
    return ((index, tree.leaf(index)) for index in range(first, tree.size))


def size(spec: SweepSpec) -> int:
    return _tree(spec).size


def _tree(spec: SweepSpec) -> Tree:
    grid = spec.strategy.grid
    assert grid is not None

    def options(parameter: Parameter, case: Case) -> Sequence[Value]:
        return spaced(case.domain, grid.points, grid.per_decade, ALL_VALUES)

    return Tree(spec.space, options)


def spaced(domain: Domain, points: int | None, per_decade: int | None, all_values: int) -> Sequence[Value]:
    """The values of one axis: so many per decade of a log range, all of a few, else so many points."""
    if isinstance(domain, Choice):
        return domain.values
    count = values_of(domain)
    if count is not None and count <= all_values:
        return axis(domain)
    if per_decade is not None and domain.scale == "log":
        return axis(domain, per_decade=per_decade)
    return axis(domain, points=points)
