"""Which values of its parameters a sweep can hold together, as far as a few of them can stand for all."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from hypersweep.space import Choice, Domain, Parameter, Space, Value, contains

Combination = Mapping[str, Value]  # without parameters that are inactive beside the others
Together = Callable[[Collection[str]], Iterable[Combination]]  # the combinations of some parameters
Columns = dict[str, list[Value]]


def listed(configurations: Sequence[Combination]) -> tuple[Columns, Together]:
    """The values of parameters in configurations that are given one by one, and their combinations."""
    columns: Columns = {}
    for configuration in configurations:
        for name, value in configuration.items():
            columns.setdefault(name, []).append(value)
    return columns, lambda wanted: _parts(configurations, wanted)


def searched(space: Space) -> tuple[Columns, Together]:
    """Values that stand for those of each parameter of a space, and their combinations."""
    columns = {parameter.name: values(parameter, space.parameters) for parameter in space.parameters}
    return columns, lambda wanted: _parts(_held(space, wanted), wanted)


def values(parameter: Parameter, others: Sequence[Parameter]) -> list[Value]:
    """Values that stand for all that a parameter can have beside the others."""
    return [value for case in parameter.cases for value in _stand_ins(case.domain, parameter.name, others)]


def _stand_ins(domain: Domain, name: str, others: Sequence[Parameter]) -> Iterator[Value]:
    """All values of a choice; of a range both ends, and those on which other parameters depend."""
    if isinstance(domain, Choice):
        yield from domain.values
        return
    yield from (domain.min, domain.max)
    for other in others:
        for case in other.cases:
            yield from (value for value in case.when.get(name, ()) if contains(domain, value))


def _held(space: Space, wanted: Collection[str]) -> Iterator[Combination]:
    """What configurations can hold of some parameters and of those that decide about them."""
    deciding = set(wanted)
    for parameter in reversed(space.order):
        if parameter.name in deciding:
            deciding |= parameter.conditions
    found: Iterable[Combination] = [{}]
    for parameter in space.order:
        if parameter.name in deciding:
            found = _with(found, parameter, space)
    return iter(found)


def _with(found: Iterable[Combination], parameter: Parameter, space: Space) -> Iterator[Combination]:
    """Each combination with each value that the parameter can have beside it."""
    for combination in found:
        case = parameter.case(combination)
        if case is None:
            yield combination
            continue
        for value in _stand_ins(case.domain, parameter.name, space.parameters):
            yield {**combination, parameter.name: value}


def _parts(configurations: Iterable[Combination], wanted: Collection[str]) -> Iterator[Combination]:
    """The part of each configuration that is asked for, each once."""
    seen = set()
    for configuration in configurations:
        part = {name: value for name, value in configuration.items() if name in wanted}
        if (key := json.dumps(part, sort_keys=True)) not in seen:
            seen.add(key)
            yield part
