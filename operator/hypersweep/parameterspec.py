"""What a sweep may vary and what it optimises: the fields of parameters and objectives, and their rules."""

from typing import Annotated, Literal

from pydantic import Field

from hypersweep.rule import Model, Rule, exactly_one, quoted
from hypersweep.scalar import AT, Anything, Integer, Name, Number, Positive, Text
from hypersweep.space import Case, Choice, Domain, Float, Int, Parameter, Scale, Value
from hypersweep.trial import Objective

Goal = Literal["maximize", "minimize"]
MOST_VALUES = 10_000  # of a stepped range


# -- objectives


class ObjectiveSpec(Model):
    metric: Annotated[Text, Field(max_length=63, description="Name of the metric, as the trial reports it.")]
    goal: Goal = Field(description="Which way is better.")
    target: Number | None = Field(
        default=None,
        description="Nothing more is launched once a configuration's mean over its seeds reaches it.",
    )
    at: str = Field(
        default="last",
        strict=True,
        pattern=AT,
        max_length=16,
        description="Which value of a run counts: last, best, or mean:k over the last k reports.",
    )

    @property
    def objective(self) -> Objective:
        return Objective(self.metric, self.goal == "maximize", self.target, self.at)


# -- parameters

ORDERED = Rule("min < max must hold", "self.min < self.max", lambda r: r.min < r.max, quoted("min", "max"))
LOG = "a log scale needs min > 0"
LOG_STEP = "step needs a linear scale"
STEP_FITS = "step <= max - min must hold"
STEPS = f"a step must give at most {MOST_VALUES} values"


class FloatRange(Model):
    RULES = (
        ORDERED,
        Rule(
            LOG,
            "!has(self.scale) || self.scale != 'log' || self.min > 0.0",
            lambda r: r.scale != "log" or r.min > 0,
            quoted("min"),
        ),
        Rule(
            LOG_STEP,
            "!has(self.scale) || self.scale != 'log' || !has(self.step)",
            lambda r: r.scale != "log" or r.step is None,
            quoted("scale", "step"),
        ),
        Rule(
            STEP_FITS,
            "!has(self.step) || self.min >= self.max || self.step <= self.max - self.min",
            lambda r: r.step is None or r.min >= r.max or r.step <= r.max - r.min,
            quoted("step", "min", "max"),
        ),
        Rule(
            STEPS,
            f"!has(self.step) || self.max - self.min < self.step * {MOST_VALUES}.0",
            lambda r: r.step is None or r.max - r.min < r.step * MOST_VALUES,
            quoted("step", "min", "max"),
        ),
    )

    min: Number = Field(description="Smallest value.")
    max: Number = Field(description="Largest value.")
    scale: Scale = Field(default="linear", description="Scale on which values are spaced and drawn.")
    step: Number | None = Field(
        default=None, gt=0, description="Only min and whole steps above it are values."
    )

    @property
    def domain(self) -> Domain:
        return Float(self.min, self.max, self.scale, self.step)


class IntRange(Model):
    RULES = (
        ORDERED,
        Rule(
            LOG,
            "!has(self.scale) || self.scale != 'log' || self.min > 0",
            lambda r: r.scale != "log" or r.min > 0,
            quoted("min"),
        ),
        Rule(
            LOG_STEP,
            "!has(self.scale) || self.scale != 'log' || !has(self.step) || self.step == 1",
            lambda r: r.scale != "log" or r.step == 1,
            quoted("scale", "step"),
        ),
        Rule(
            STEP_FITS,
            "!has(self.step) || self.min >= self.max || self.step <= self.max - self.min",
            lambda r: r.min >= r.max or r.step <= r.max - r.min,
            quoted("step", "min", "max"),
        ),
    )

    min: Integer = Field(description="Smallest value.")
    max: Integer = Field(description="Largest value.")
    scale: Scale = Field(default="linear", description="Scale on which values are spaced and drawn.")
    step: Positive = Field(default=1, description="Only min and whole steps above it are values. Default: 1.")

    @property
    def domain(self) -> Domain:
        return Int(self.min, self.max, self.scale, self.step)


Values = Annotated[tuple[Anything, ...], Field(min_length=1, max_length=256)]
START = "Where the search begins. Default: the middle of the range on its scale, the first of a choice."


class CaseSpec(Model):
    RULES = (exactly_one("float_", "int_", "choice", visible=False),)

    when: dict[Name, Values] = Field(
        min_length=1,
        max_length=10,
        description="Values of other parameters under which this case holds: all names, any value of each.",
    )
    float_: FloatRange | None = Field(default=None, alias="float", description="A range of numbers.")
    int_: IntRange | None = Field(default=None, alias="int", description="A range of whole numbers.")
    choice: Values | None = Field(default=None, description="A list of values of any kind.")
    start: Anything | None = Field(default=None, description=START)

    @property
    def domain(self) -> Domain:
        return _domain(self)

    @property
    def case(self) -> Case:
        return Case(self.domain, _start(self.domain, self.start), dict(self.when))


class ParameterSpec(Model):
    RULES = (
        exactly_one("float_", "int_", "choice", "cases", visible=False),
        Rule(
            "start must stand in each case",
            None,
            lambda p: p.cases is None or p.start is None,
            quoted("start"),
        ),
    )

    name: Name = Field(description="Name under which the trial gets the value.")
    float_: FloatRange | None = Field(default=None, alias="float", description="A range of numbers.")
    int_: IntRange | None = Field(default=None, alias="int", description="A range of whole numbers.")
    choice: Values | None = Field(default=None, description="A list of values of any kind.")
    cases: tuple[CaseSpec, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="One name, another range per branch: the first case that holds counts; "
        "where none holds, the parameter is left out.",
    )
    start: Anything | None = Field(default=None, description=START)

    @property
    def domain(self) -> Domain:
        """The one domain of a parameter without cases."""
        return _domain(self)

    @property
    def parameter(self) -> Parameter:
        if self.cases is not None:
            return Parameter(self.name, tuple(case.case for case in self.cases))
        return Parameter(self.name, (Case(self.domain, _start(self.domain, self.start)),))


def _domain(spec: ParameterSpec | CaseSpec) -> Domain:
    for ranged in (spec.float_, spec.int_):
        if ranged is not None:
            return ranged.domain
    assert spec.choice is not None
    return Choice(spec.choice)


def _start(domain: Domain, start: Value | None) -> Value | None:
    """A start of a float range is a float, however it was written."""
    return float(start) if isinstance(domain, Float) and isinstance(start, int) else start
