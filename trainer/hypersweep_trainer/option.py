"""What an option of the trainer is: type, domain, what it needs to have an effect, what to know of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

TASKS = ("image", "tabular")  # how a model sees its data


@dataclass(frozen=True)
class Above:
    """A need that every larger number meets."""

    bound: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and value > self.bound

    def __str__(self) -> str:
        return f"above {self.bound:g}"


Allowed = tuple[Any, ...] | Above
Needs = Mapping[str, Allowed]  # option (or `task`, `target`) -> the values under which there is an effect


@dataclass(frozen=True)
class Option:
    """One hyperparameter of the built-in trainer."""

    name: str
    kind: str  # float | int | bool | choice | ints (a list of integers)
    default: Any
    meaning: str
    low: float | None = None  # the domain of numbers (of each item of a list), ends included
    high: float | None = None
    values: tuple[Any, ...] = ()  # the domain of a choice
    log: bool = False  # what scale a sweep should use
    defaults: tuple[tuple[Needs, Any], ...] = ()  # the first whose needs are met replaces `default`
    unit: str = ""
    tasks: tuple[str, ...] = TASKS
    needs: Needs = field(default_factory=dict)
    value_needs: Mapping[Any, Needs] = field(default_factory=dict)  # what single values need
    impact: str = ""  # High | Medium | Low, where the literature gives one
    source: str = ""
    first_sweep: tuple[Any, ...] = ()  # a first range (its two ends) or list of values worth sweeping
    horizon: str = "step"  # where a change shows: step | epoch | evaluation | stop | speed

    @property
    def conditions(self) -> Needs:
        """All that must hold for the option to have an effect."""
        return self.needs if self.tasks == TASKS else {"task": self.tasks, **self.needs}

    @property
    def domain(self) -> str:
        """The domain in words, as messages and the catalogue print it."""
        match self.kind:
            case "bool":
                return "true or false"
            case "choice":
                return "one of " + ", ".join(map(str, self.values))
            case "ints":
                return f"a list of integers from {self.low:g} to {self.high:g}"
            case _:
                noun = "an integer" if self.kind == "int" else "a number"
                return f"{noun} from {self.low:g} to {self.high:g}"

    def accept(self, value: Any) -> Any:
        """The value in the option's own type; raises ValueError when it lies outside of the domain."""
        match self.kind:
            case "bool" if isinstance(value, bool):
                return value
            case "choice" if value in self.values and isinstance(value, str):
                return value
            case "ints" if isinstance(value, list | tuple) and len(value) <= 64:
                return tuple(self._number(item) for item in value)
            case "int" | "float":
                return self._number(value)
        raise ValueError(f"must be {self.domain}, but got {value!r}")

    def _number(self, value: Any) -> int | float:
        whole = self.kind != "float"
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
            or (whole and value != int(value))
            or (self.low is not None and value < self.low)
            or (self.high is not None and value > self.high)
        ):
            raise ValueError(f"must be {self.domain}, but got {value!r}")
        return int(value) if whole else float(value)


# The builders give a dataclass field its option; what they return is typed as the field's value.


def real(default: float, low: float, high: float, meaning: str, **about: Any) -> Any:
    return _field(Option("", "float", default, meaning, low, high, **about))


def integer(default: int, low: int, high: int, meaning: str, **about: Any) -> Any:
    return _field(Option("", "int", default, meaning, low, high, **about))


def integers(default: tuple[int, ...], low: int, high: int, meaning: str, **about: Any) -> Any:
    return _field(Option("", "ints", default, meaning, low, high, **about))


def choice(default: str, values: tuple[str, ...], meaning: str, **about: Any) -> Any:
    return _field(Option("", "choice", default, meaning, values=values, **about))


def switch(default: bool, meaning: str, **about: Any) -> Any:
    return _field(Option("", "bool", default, meaning, **about))


def _field(option: Option) -> Any:
    return field(default=option.default, metadata={"option": option})


def table(owner: type[Any]) -> dict[str, Option]:
    """The options of a dataclass by name, in the order in which it declares them."""
    return {entry.name: replace(entry.metadata["option"], name=entry.name) for entry in fields(owner)}
