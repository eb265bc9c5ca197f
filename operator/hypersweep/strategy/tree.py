"""The tree of a conditional space: its leaves counted and numbered without listing them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hypersweep.space import Case, Parameter, Space, Value

Options = Callable[[Parameter, Case], Sequence[Value]]
Branch = tuple[tuple[str, Value], ...]  # the values chosen so far that later cases ask for


@dataclass(frozen=True)
class Tree:
    """Every configuration that takes each active parameter from its options; the last one varies fastest.

    Branches are summed and what lies below a branch is multiplied, so inactive parameters make no duplicates.
    """

    space: Space
    options: Options

    @cached_property
    def size(self) -> int:
        return self._below(0, ())

    def leaves(self) -> Iterator[dict[str, Value]]:
        return (self.leaf(index) for index in range(self.size))

    def leaf(self, index: int) -> dict[str, Value]:
        """The configuration with this number: digits of a mixed radix, whose bases depend on the branch."""
        assert 0 <= index < self.size, f"there is no leaf {index} among {self.size}"
        values: dict[str, Value] = {}
        branch: Branch = ()
        for depth, parameter in enumerate(self.space.order):
            case = parameter.case(values)
            if case is None:
                continue
            if parameter.name in self._needed[depth + 1]:
                value, index = self._fork(depth, case, branch, index)
                branch = (*branch, (parameter.name, value))
            else:
                digit, index = divmod(index, self._below(depth + 1, branch))
                value = self._values(parameter, case)[digit]
            values[parameter.name] = value
        return dict(sorted(values.items()))

    def _fork(self, depth: int, case: Case, branch: Branch, index: int) -> tuple[Value, int]:
        """The value whose branch holds the leaf, and the leaf's number within that branch."""
        parameter = self.space.order[depth]
        for value in self._values(parameter, case):
            size = self._below(depth + 1, (*branch, (parameter.name, value)))
            if index < size:
                return value, index
            index -= size
        raise AssertionError("the branches hold fewer leaves than their parent counted")

    def _below(self, depth: int, branch: Branch) -> int:
        """How many leaves there are from a parameter on, given what was chosen before it."""
        key = depth, tuple(pair for pair in branch if pair[0] in self._needed[depth])
        if key not in self._sizes:
            self._sizes[key] = self._count(depth, branch)
        return self._sizes[key]

    def _count(self, depth: int, branch: Branch) -> int:
        if depth == len(self.space.order):
            return 1
        parameter = self.space.order[depth]
        case = parameter.case(dict(branch))
        if case is None:
            return self._below(depth + 1, branch)
        values = self._values(parameter, case)
        if parameter.name not in self._needed[depth + 1]:
            return len(values) * self._below(depth + 1, branch)
        return sum(self._below(depth + 1, (*branch, (parameter.name, value))) for value in values)

    def _values(self, parameter: Parameter, case: Case) -> Sequence[Value]:
        if id(case) not in self._asked:  # a case lives as long as the space that this tree holds
            self._asked[id(case)] = self.options(parameter, case)
        return self._asked[id(case)]

    @cached_property
    def _asked(self) -> dict[int, Sequence[Value]]:
        return {}

    @cached_property
    def _sizes(self) -> dict[tuple[int, Branch], int]:
        return {}

    @cached_property
    def _needed(self) -> tuple[frozenset[str], ...]:
        """Per place in the order: the names that the cases from there on ask for."""
        needed = [frozenset[str]()]
        for parameter in reversed(self.space.order):
            needed.append(needed[-1] | parameter.conditions)
        return tuple(reversed(needed))
