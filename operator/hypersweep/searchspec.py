"""What a sweep searches: the fields of objectives, parameters and strategies, and the rules between them."""

from typing import Annotated, Literal

from pydantic import Field

from hypersweep.rule import Model, Rule, at_most_one, exactly_one, given, quoted
from hypersweep.scalar import AT, Anything, Flag, Integer, Name, Number, Positive, Text, Whole
from hypersweep.space import Case, Choice, Domain, Float, Int, Parameter, Scale, Value
from hypersweep.trial import Objective

Goal = Literal["maximize", "minimize"]
MOST_VALUES = 10_000  # of a stepped range


# -- objectives


class ObjectiveSpec(Model):
    metric: Annotated[Text, Field(max_length=63, description="Name of the metric, as the trial reports it.")]
    goal: Goal = Field(description="Which way is better.")
    target: Number | None = Field(
        None, description="Nothing more is launched once a configuration's mean over its seeds reaches it."
    )
    at: str = Field(
        "last",
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
    scale: Scale = Field("linear", description="Scale on which values are spaced and drawn.")
    step: Number | None = Field(None, gt=0, description="Only min and whole steps above it are values.")

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
    scale: Scale = Field("linear", description="Scale on which values are spaced and drawn.")
    step: Positive = Field(1, description="Only min and whole steps above it are values. Default: 1.")

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
    float_: FloatRange | None = Field(None, alias="float", description="A range of numbers.")
    int_: IntRange | None = Field(None, alias="int", description="A range of whole numbers.")
    choice: Values | None = Field(None, description="A list of values of any kind.")
    start: Anything | None = Field(None, description=START)

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
    float_: FloatRange | None = Field(None, alias="float", description="A range of numbers.")
    int_: IntRange | None = Field(None, alias="int", description="A range of whole numbers.")
    choice: Values | None = Field(None, description="A list of values of any kind.")
    cases: tuple[CaseSpec, ...] | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="One name, another range per branch: the first case that holds counts; "
        "where none holds, the parameter is left out.",
    )
    start: Anything | None = Field(None, description=START)

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


# -- strategies


class Grid(Model):
    RULES = (at_most_one("points", "per_decade"),)

    points: Whole | None = Field(
        None, ge=1, le=MOST_VALUES, description="Values per range, even on its scale, ends included."
    )
    per_decade: Whole | None = Field(
        None, ge=1, le=100, description="Values per decade of a range on a log scale, ends included."
    )


class Random(Model):
    pass


class Sobol(Model):
    pass


class Bayesian(Model):
    sampler: Literal["tpe", "gp"] = Field("tpe", description="Optuna's sampler.")


Configurations = Annotated[
    tuple[Annotated[dict[Name, Anything], Field(min_length=1, max_length=100)], ...],
    Field(min_length=1, max_length=10_000),
]


class Search(Model):
    RULES = (exactly_one("list", "grid", "random", "sobol", "bayesian"),)

    list: Configurations | None = Field(None, description="These configurations.")
    grid: Grid | None = Field(None, description="All combinations of evenly spaced values.")
    random: Random | None = Field(None, description="Independent draws.")
    sobol: Sobol | None = Field(None, description="Quasi-random draws.")
    bayesian: Bayesian | None = Field(None, description="Draws guided by a model of the results.")


class Stage(Model):
    RULES = (
        Rule(
            "a parameter must stand in parameters or in retune, not in both",
            "!has(self.retune) || self.retune.all(n, !(n in self.parameters))",
            lambda s: not set(s.retune) & set(s.parameters),
            lambda s: ", ".join(sorted(set(s.retune) & set(s.parameters))),
            at=".retune",
        ),
    )

    parameters: tuple[Name, ...] = Field(
        min_length=1, max_length=100, description="What this stage compares; all else is held."
    )
    search: Search | None = Field(
        None,
        description="How values are chosen. Default: all values of a choice, integer or stepped range "
        "up to 7, else 5 even on the scale.",
    )
    retune: tuple[Name, ...] = Field(
        (),
        max_length=100,
        description="Nuisance parameters, optimised anew for each arm before arms compare.",
    )
    narrow: Number | None = Field(
        None, gt=1, description="Search a range this many times smaller, around the incumbent."
    )
    data: Number | None = Field(None, gt=0, le=1, description="Share of the training data to use.")
    epochs: Positive | None = Field(None, description="Epochs to train for, instead of the trainer's.")


class MinImprovement(Model):
    RULES = (exactly_one("absolute", "sigma"),)

    absolute: Number | None = Field(None, ge=0, description="In units of the objective.")
    sigma: Number | None = Field(None, ge=0, description="In standard deviations of the noise between seeds.")


class Widen(Model):
    times: Positive = Field(1, description="How often a range may grow.")
    hard_min: dict[Name, Number] | None = Field(
        None, max_length=100, description="Never below, per parameter."
    )
    hard_max: dict[Name, Number] | None = Field(
        None, max_length=100, description="Never above, per parameter."
    )


class Final(Model):
    top: Positive | None = Field(None, description="How many of the best configurations to run.")
    seeds: Whole = Field(5, ge=2, le=1000, description="Fresh seeds per configuration. Default: 5.")
    refit: Flag | None = Field(None, description="Train the chosen configuration once more, on all data.")


class Iterative(Model):
    stages: tuple[Stage, ...] = Field(
        min_length=1, max_length=30, description="Searched one after the other, each from the best so far."
    )
    min_improvement: MinImprovement | None = Field(
        None, description="A gain up to this is not worth a change; the noise must be exceeded in any case."
    )
    widen: Widen | None = Field(None, description="Grow a range whose end is best.")
    prefer_cheaper: Flag | None = Field(None, description="Among equals, take the quickest.")
    passes: Positive | None = Field(None, description="How often to go through all stages.")
    final: Final | None = Field(
        None, description="Run the chosen and the start configuration on fresh seeds, which choose nothing."
    )


STRATEGIES = ("list", "grid", "random", "sobol", "bayesian", "iterative")


class Strategy(Model):
    RULES = (exactly_one(*STRATEGIES),)

    list: Configurations | None = Field(None, description="These configurations, in this order.")
    grid: Grid | None = Field(None, description="All combinations of evenly spaced values.")
    random: Random | None = Field(
        None, description="Independent draws, as many as maxTrials or budget allow."
    )
    sobol: Sobol | None = Field(None, description="Quasi-random draws.")
    bayesian: Bayesian | None = Field(None, description="Draws guided by a model of the results.")
    iterative: Iterative | None = Field(
        None, description="Stages, each adopting only what exceeds the noise."
    )

    @property
    def kind(self) -> str:
        return given(self, STRATEGIES)[0]


# -- early stopping


class Asha(Model):
    metric: Text = Field(description="Metric that decides.")
    goal: Goal = Field(description="Which way is better.")
    resource: Literal["epoch", "step"] = Field("epoch", description="What rungs count.")
    min: Positive = Field(1, description="First rung.")
    reduction: Whole = Field(3, ge=2, description="One of this many goes on at each rung.")


class Median(Model):
    metric: Text = Field(description="Metric that decides.")
    goal: Goal = Field(description="Which way is better.")
    min: Positive = Field(1, description="Reports of a trial before it may be stopped.")


class EarlyStopping(Model):
    RULES = (exactly_one("asha", "median"),)

    asha: Asha | None = Field(None, description="Successive halving without waiting.")
    median: Median | None = Field(
        None, description="Stop what is below the median of others at the same step."
    )
