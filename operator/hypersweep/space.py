"""What a sweep may choose from: ranges and choices, the cases of a parameter, and the space they span."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from types import MappingProxyType
from typing import Literal, assert_never

Value = bool | int | float | str | tuple["Value", ...]
Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class Float:
    min: float
    max: float
    scale: Scale = "linear"
    step: float | None = None


@dataclass(frozen=True)
class Int:
    min: int
    max: int
    scale: Scale = "linear"
    step: int = 1


@dataclass(frozen=True)
class Choice:
    values: tuple[Value, ...]


Domain = Float | Int | Choice


def size(domain: Domain) -> int | None:
    """How many values a domain has; None for a continuous one."""
    if isinstance(domain, Choice):
        return len(domain.values)
    if domain.step is None:
        return None
    # a hair more than the quotient: (0.3 - 0) / 0.1 comes out just below 3
    return math.floor((domain.max - domain.min) / domain.step + 1e-9) + 1


def largest(domain: Float | Int) -> float | int:
    """The largest value of a range, whose steps may end below its maximum."""
    return domain.max if domain.step is None else _stepped(domain, (size(domain) or 1) - 1)


def axis(domain: Domain, points: int | None = None, per_decade: int | None = None) -> tuple[Value, ...]:
    """Values even on the domain's scale, ends included, ascending and distinct.

    Without `points` or `per_decade` these are all values, which a continuous domain does not have.
    A choice has no scale: it always gives all of its values, in their own order.
    """
    if isinstance(domain, Choice):
        return domain.values
    count = size(domain)
    wanted = points if per_decade is None else _per_decade(domain, per_decade)
    if wanted is None or (count is not None and wanted >= count and domain.scale == "linear"):
        assert count is not None, f"{domain} is continuous: it has no values without points or a step"
        return tuple(_stepped(domain, index) for index in range(count))
    if wanted == 1:
        return (middle(domain),)
    fractions = (index / (wanted - 1) for index in range(wanted))
    return tuple(dict.fromkeys(_at(domain, fraction) for fraction in fractions))


def _per_decade(domain: Float | Int, per_decade: int) -> int:
    assert domain.min > 0, f"{domain} has no decades"
    return max(round(math.log10(domain.max / domain.min) * per_decade), 1) + 1


def _stepped(domain: Float | Int, index: int) -> float | int:
    assert domain.step is not None
    return _tidy(domain, domain.min + index * domain.step)


def _at(domain: Float | Int, fraction: float) -> float | int:
    """The value at a fraction of the way from min to max on the domain's scale, as the domain allows it."""
    if fraction in (0, 1) and domain.step is None:
        return domain.max if fraction else domain.min  # as it was written, to the last digit
    if domain.scale == "log":
        value = domain.min * (domain.max / domain.min) ** fraction
    else:
        value = domain.min + (domain.max - domain.min) * fraction
    return _nearest(domain, value)


def _nearest(domain: Float | Int, value: float) -> float | int:
    if domain.step is None or (isinstance(domain, Int) and domain.step == 1):
        return _tidy(domain, value)
    last = (size(domain) or 1) - 1
    index = min(max(round((value - domain.min) / domain.step), 0), last)
    return _stepped(domain, index)


def _tidy(domain: Float | Int, value: float) -> float | int:
    """A value within the domain that reads well and is the same on machines whose last digits differ."""
    if isinstance(domain, Int):
        return min(max(round(value), domain.min), domain.max)
    return min(max(float(f"{value:.12g}"), domain.min), domain.max)


def middle(domain: Domain) -> Value:
    """The middle of a range on its scale; the first value of a choice."""
    return domain.values[0] if isinstance(domain, Choice) else _at(domain, 0.5)


def sample(domain: Domain, rng: Random) -> Value:
    """One value, uniform on the domain's scale."""
    match domain:
        case Choice(values):
            return values[rng.randrange(len(values))]
        case Int(scale="log"):
            # every integer owns the interval up to the next one
            above = float((domain.max + 1) / domain.min)
            return min(math.floor(domain.min * math.pow(above, rng.random())), domain.max)
        case Float(step=None):
            return _at(domain, rng.random())
        case Int() | Float():
            return _stepped(domain, rng.randrange(size(domain) or 1))
    assert_never(domain)


def narrow(domain: Domain, around: Value, factor: float) -> Domain:
    """The part of a range that is `factor` times smaller on its scale, centred and clipped.

    `factor` 10 on a log scale is one decade; on a linear one a tenth of the width. The value itself
    always stays inside, steps stay where they were, and a choice is left as it is.
    """
    if isinstance(domain, Choice):
        return domain
    centre = quantise(domain, around)
    assert isinstance(centre, int | float)
    if domain.scale == "log":
        low, high = centre / math.sqrt(factor), centre * math.sqrt(factor)
    else:
        half = (domain.max - domain.min) / factor / 2
        low, high = centre - half, centre + half
    if domain.step is None:
        return _between(domain, _tidy(domain, low), _tidy(domain, high))
    return _within_steps(domain, low, high, centre)


def _within_steps(domain: Float | Int, low: float, high: float, centre: float) -> Domain:
    assert domain.step is not None
    first = max(math.ceil((low - domain.min) / domain.step - 1e-9), 0)
    last = min(math.floor((high - domain.min) / domain.step + 1e-9), (size(domain) or 1) - 1)
    here = round((centre - domain.min) / domain.step)
    ends = _stepped(domain, min(first, here)), _stepped(domain, max(last, here))
    return _between(domain, *ends)


def _between(domain: Float | Int, low: float, high: float) -> Domain:
    if isinstance(domain, Int):
        return replace(domain, min=round(low), max=round(high))
    return replace(domain, min=low, max=high)


def quantise(domain: Domain, value: Value) -> Value:
    """The value that the domain allows nearest to this one; a choice must hold it."""
    if isinstance(domain, Choice):
        found = next((known for known in domain.values if same(known, value)), None)
        assert found is not None, f"{value!r} is none of {domain.values}"
        return found
    assert isinstance(value, int | float), f"{value!r} is no number"
    return _nearest(domain, value)


def contains(domain: Domain, value: Value) -> bool:
    """Whether the domain allows a value as it is."""
    if isinstance(domain, Choice):
        return any(same(known, value) for known in domain.values)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    if isinstance(domain, Int) and value != int(value):
        return False
    return domain.min <= value <= domain.max and math.isclose(
        float(_nearest(domain, value)), value, rel_tol=1e-9, abs_tol=1e-12
    )


def same(one: Value, other: Value) -> bool:
    """Whether two values mean the same: 1 and 1.0 do, 1 and true do not, in lists too."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@dataclass(frozen=True)
class Case:
    """One branch of a parameter: where `when` holds, this is its domain."""

    domain: Domain
    start: Value | None = None
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def first(self) -> Value:
        """Where a search starts: `start`, else the middle of the range, else the first choice."""
        return middle(self.domain) if self.start is None else self.start

    def holds(self, values: Mapping[str, Value]) -> bool:
        return all(
            name in values and any(same(values[name], value) for value in allowed)
            for name, allowed in self.when.items()
        )


@dataclass(frozen=True)
class Parameter:
    name: str
    cases: tuple[Case, ...]  # one with an empty `when` if the parameter is unconditional

    def case(self, values: Mapping[str, Value]) -> Case | None:
        """The first case that holds; None where the parameter is inactive."""
        return next((case for case in self.cases if case.holds(values)), None)

    @property
    def conditions(self) -> frozenset[str]:
        """The parameters that decide which case holds."""
        return frozenset(name for case in self.cases for name in case.when)


@dataclass(frozen=True)
class Space:
    """All parameters of a sweep, by name."""

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        names = [parameter.name for parameter in self.parameters]
        assert names == sorted(set(names)), "a space lists its parameters once each, by name"

    def parameter(self, name: str) -> Parameter:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    @cached_property
    def order(self) -> tuple[Parameter, ...]:
        """Conditions before what they condition, else by name."""
        ordered: dict[str, Parameter] = {}
        while len(ordered) < len(self.parameters):
            ready = [p for p in self.parameters if p.name not in ordered and p.conditions <= ordered.keys()]
            assert ready, "the cases of parameters depend on each other in a circle"
            ordered[ready[0].name] = ready[0]
        return tuple(ordered.values())

    def resolve(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The configuration that `values` mean: inactive parameters dropped, missing ones at their start.

        A value stands for the case that holds; one that its domain does not allow gives way to the start.
        """
        resolved: dict[str, Value] = {}
        for parameter in self.order:
            case = parameter.case(resolved)
            if case is None:
                continue
            value = values.get(parameter.name, case.first)
            resolved[parameter.name] = (
                quantise(case.domain, value) if contains(case.domain, value) else case.first
            )
        return dict(sorted(resolved.items()))

    def change(self, base: Mapping[str, Value], changes: Mapping[str, Value]) -> dict[str, Value]:
        """`base` with `changes`; a parameter that falls into another case starts afresh in it.

        The learning rate of one optimizer says nothing of another's: only what keeps its case is kept.
        """
        before = self.resolve(base)
        after: dict[str, Value] = {}
        for parameter in self.order:
            case = parameter.case(after)
            if case is None:
                continue
            kept = before if parameter.case(before) is case else {}
            value = changes.get(parameter.name, kept.get(parameter.name, case.first))
            after[parameter.name] = quantise(case.domain, value)
        return dict(sorted(after.items()))

    def start(self) -> dict[str, Value]:
        """Where a search starts: each active parameter at its start."""
        return self.resolve({})
