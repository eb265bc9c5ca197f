"""Random configurations, each drawn by its index alone."""

from collections.abc import Iterator, Sequence
from random import Random

from hypersweep.api import SweepSpec
from hypersweep.journal import History
from hypersweep.space import Case, Parameter, Space, Value, axis, sample
from hypersweep.space import size as values_of
from hypersweep.strategy.tree import Tree
from hypersweep.trial import identity

SKIPS = 10_000  # so many draws in a row that were all drawn before: the space has no more


def points(spec: SweepSpec, history: History, first: int) -> Iterator[tuple[int, dict[str, Value]]]:
    """The draws from an index on that no earlier one equals, which the earlier trials tell."""
    space = spec.space
    seen: set[str] | None = None
    skips = 0
    draw = first
    while skips < SKIPS:
        values = drawn(space, f"{spec.seed}:{draw}")
        if _continuous(space, values):  # two draws of a continuous range do not meet
            skips = 0
            yield draw, values
        else:
            seen = _launched(history) if seen is None else seen
            key = identity(values)
            if key in seen:
                skips += 1
            else:
                seen.add(key)
                skips = 0
                yield draw, values
        draw += 1


def drawn(space: Space, seed: str) -> dict[str, Value]:
    """One configuration, its active parameters drawn in the order of the space."""
    rng = Random(seed)  # by index, not by turn: any order and parallelism draws the same trials
    values: dict[str, Value] = {}
    for parameter in space.order:
        case = parameter.case(values)
        if case is not None:
            values[parameter.name] = sample(case.domain, rng)
    return dict(sorted(values.items()))


def size(spec: SweepSpec) -> int | None:
    """How many configurations there are; None if some range is continuous."""
    space = spec.space
    if any(values_of(case.domain) is None for parameter in space.parameters for case in parameter.cases):
        return None
    conditions = frozenset[str]().union(*(parameter.conditions for parameter in space.parameters))

    def options(parameter: Parameter, case: Case) -> Sequence[Value]:
        # only what a condition asks for has to be listed; of the others their number is enough
        return axis(case.domain) if parameter.name in conditions else range(values_of(case.domain) or 0)

    return Tree(space, options).size


def _continuous(space: Space, values: dict[str, Value]) -> bool:
    for parameter in space.parameters:
        case = parameter.case(values)
        if case is not None and values_of(case.domain) is None:
            return True
    return False


def _launched(history: History) -> set[str]:
    return {trial.suggestion.configuration for trial in history.trials.values()}
