"""What an option of the trainer is: type, domain, what it needs to have an effect, what to know of it."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

TASKS = ("image", "tabular", "sequence")  # how a model sees its data
HORIZONS = ("step", "epoch", "evaluation", "stop", "speed")
TEXT_LIMIT = 1024  # characters
LIST_LIMIT = 64
LONGEST = 80  # characters of a found value that a message quotes
ASKED = "part of the question, not of the answer"  # why some options are not swept
MEASURED = "other values measure other rows, so that trials do not compare"
CARRIED = "the results stay the same"


class Unknown:
    """A fact that only the data itself can tell: it may turn out to be anything."""

    def __repr__(self) -> str:
        return "known once the data is read"


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Above:
    """A need that every larger number meets, and every word that stands for a number."""

    bound: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) or (isinstance(value, int | float) and value > self.bound)

    def __str__(self) -> str:
        return f"above {self.bound:g}"


@dataclass(frozen=True)
class Given:
    """A need that every text or list meets that is not empty."""

    def __contains__(self, value: object) -> bool:
        return bool(value)

    def __str__(self) -> str:
        return "given"


@dataclass(frozen=True)
class AtLeast:
    """A need for another option's number and `more`; for nothing where that is off, at a default of 0."""

    option: str
    more: int = 0

    def __str__(self) -> str:
        return f"at least {self.option}" + (f" + {self.more}" if self.more else "")


Allowed = tuple[Any, ...] | Above | AtLeast | Given
Needs = Mapping[str, Allowed]  # option or fact (`origin`, `target`, …) -> values that have an effect


@dataclass(frozen=True)
class Option:
    """One hyperparameter of the built-in trainer."""

    name: str
    kind: str  # float | int | bool | choice | text | floats | ints | texts (the last three are lists)
    default: Any
    meaning: str
    low: float | None = None  # the domain of numbers (of each item of a list), ends included
    high: float | None = None
    values: tuple[Any, ...] = ()  # the domain of a choice; the known words of a text
    words: tuple[str, ...] = ()  # what a number may be beside a number
    pattern: str = ".*"  # what a text must match when it is none of `values`
    forms: str = ""  # that pattern in words
    log: bool = False  # what scale a sweep should use
    defaults: tuple[tuple[Needs, Any], ...] = ()  # the first whose needs are met replaces `default`
    unit: str = ""
    tasks: tuple[str, ...] = TASKS
    needs: Needs = field(default_factory=dict)
    value_needs: Mapping[Any, Needs] = field(default_factory=dict)  # what single values need
    impact: str = ""  # High | Medium | Low, where the literature gives one
    source: str = ""
    hint: str = ""  # what others found to work
    first_sweep: tuple[Any, ...] = ()  # a first range (its two ends) or list of values worth sweeping
    unswept: str = ""  # why there is none
    horizon: str = "step"  # where a change shows: one of HORIZONS
    group: str = ""  # the heading under which the catalogue prints it

    def __post_init__(self) -> None:
        assert self.source, f"an option needs a source: {self.meaning}"
        assert bool(self.first_sweep) != bool(self.unswept), f"a sweep, or why there is none: {self.meaning}"

    @property
    def conditions(self) -> Needs:
        """All that must hold for the option to have an effect."""
        return self.needs if self.tasks == TASKS else {"task": self.tasks, **self.needs}

    @property
    def numeric(self) -> bool:
        return self.kind in ("int", "float")

    @property
    def domain(self) -> str:
        """The domain in words, as messages and the catalogue print it."""
        known = ", ".join(map(str, self.values))
        match self.kind:
            case "bool":
                return "true or false"
            case "choice":
                return f"one of {known}"
            case "text":
                return " or ".join(part for part in (f"one of {known}" if known else "", self.forms) if part)
            case "texts":
                return f"a list of {self.forms}"
            case "ints" | "floats":
                noun = "integers" if self.kind == "ints" else "numbers"
                return f"a list of {noun} from {shown(self.low)} to {shown(self.high)}"
        noun = "an integer" if self.kind == "int" else "a number"
        return " or ".join((f"{noun} from {shown(self.low)} to {shown(self.high)}", *self.words))

    def accept(self, value: Any) -> Any:
        """The value in the option's own type; raises ValueError when it lies outside of the domain."""
        match self.kind:
            case "bool" if isinstance(value, bool):
                return value
            case "choice" if isinstance(value, str) and value in self.values:
                return value
            case "text" if isinstance(value, str) and self._readable(value):
                return value
            case "text" if value is True and "true" in self.value_needs:  # the word as YAML reads it
                return "true"
            case "texts" if _listed(value) and all(isinstance(item, str) and item for item in value):
                return tuple(value)
            case "ints" | "floats" if _listed(value):
                return tuple(self._number(item) for item in value)
            case "int" | "float" if isinstance(value, str) and value in self.words:
                return value
            case "int" | "float":
                return self._number(value)
        raise ValueError(f"must be {self.domain}, but found {quoted(value)}")

    def _readable(self, value: str) -> bool:
        return len(value) <= TEXT_LIMIT and (
            value in self.values or value == self.default or re.fullmatch(self.pattern, value) is not None
        )

    def _number(self, value: Any) -> int | float:
        whole = self.kind in ("int", "ints")
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
            or (whole and value != int(value))
            or (self.low is not None and value < self.low)
            or (self.high is not None and value > self.high)
        ):
            raise ValueError(f"must be {self.domain}, but found {quoted(value)}")
        return int(value) if whole else float(value)


def _listed(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) <= LIST_LIMIT


# -- values in words


def shown(value: Any) -> str:
    """A value as a manifest writes it, words without quotes."""
    match value:
        case () | "":
            return "unset"
        case bool():
            return str(value).lower()
        case float() if math.isfinite(value):
            return re.sub(r"e([+-])0*(\d)", lambda m: f"e{m[1].strip('+')}{m[2]}", f"{value:.12g}")
        case tuple() | list():
            return f"[{', '.join(map(shown, value))}]"
    return str(value)


def quoted(value: Any) -> str:
    """A value that was found, so that a text is told from a number; cut where it is long."""
    if isinstance(value, int | float):
        return shown(value)
    try:
        text = json.dumps(value, default=str)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


# The builders give a dataclass field its option; what they return is typed as the field's value.


def real(default: float, low: float, high: float, meaning: str, **about: Any) -> Any:
    return _field(Option("", "float", default, meaning, low, high, **about))


def integer(default: int | str, low: int, high: int, meaning: str, **about: Any) -> Any:
    return _field(Option("", "int", default, meaning, low, high, **about))


def integers(default: tuple[int, ...], low: int, high: int, meaning: str, **about: Any) -> Any:
    return _field(Option("", "ints", default, meaning, low, high, **about))


def reals(default: tuple[float, ...], low: float, high: float, meaning: str, **about: Any) -> Any:
    return _field(Option("", "floats", default, meaning, low, high, **about))


def choice(default: str, values: tuple[str, ...], meaning: str, **about: Any) -> Any:
    return _field(Option("", "choice", default, meaning, values=values, **about))


def text(default: str, pattern: str, forms: str, meaning: str, **about: Any) -> Any:
    return _field(Option("", "text", default, meaning, pattern=pattern, forms=forms, **about))


def texts(forms: str, meaning: str, **about: Any) -> Any:
    return _field(Option("", "texts", (), meaning, forms=forms, **about))


def switch(default: bool, meaning: str, **about: Any) -> Any:
    return _field(Option("", "bool", default, meaning, **about))


def _field(option: Option) -> Any:
    return field(default=option.default, metadata={"option": option})


def table(*groups: type[Any]) -> dict[str, Option]:
    """The options of dataclasses by name, in the order in which these declare them."""
    return {
        entry.name: replace(entry.metadata["option"], name=entry.name, group=heading(group))
        for group in groups
        for entry in fields(group)
    }


def heading(group: type[Any]) -> str:
    return (group.__doc__ or "").partition(".")[0]
