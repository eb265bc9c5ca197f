"""How a sweep searches: the fields of strategies and early stopping, and the rules between them."""

from typing import Annotated, Literal

from pydantic import Field

from hypersweep.parameterspec import MOST_VALUES, Goal
from hypersweep.rule import Model, Rule, at_most_one, exactly_one, given
from hypersweep.scalar import Anything, Flag, Name, Number, Positive, Text, Whole

# -- strategies


class Grid(Model):
    RULES = (at_most_one("points", "per_decade"),)

    points: Whole | None = Field(
        default=None, ge=1, le=MOST_VALUES, description="Values per range, even on its scale, ends included."
    )
    per_decade: Whole | None = Field(
        default=None, ge=1, le=100, description="Values per decade of a range on a log scale, ends included."
    )


class Random(Model):
    pass


class Sobol(Model):
    pass


class Bayesian(Model):
    sampler: Literal["tpe", "gp"] = Field(default="tpe", description="Optuna's sampler.")


Configurations = Annotated[
    tuple[Annotated[dict[Name, Anything], Field(min_length=1, max_length=100)], ...],
    Field(min_length=1, max_length=10_000),
]


class Search(Model):
    RULES = (exactly_one("list", "grid", "random", "sobol", "bayesian"),)

    list: Configurations | None = Field(default=None, description="These configurations.")
    grid: Grid | None = Field(default=None, description="All combinations of evenly spaced values.")
    random: Random | None = Field(default=None, description="Independent draws.")
    sobol: Sobol | None = Field(default=None, description="Quasi-random draws.")
    bayesian: Bayesian | None = Field(default=None, description="Draws guided by a model of the results.")


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
        default=None,
        description="How values are chosen. Default: all values of a choice, integer or stepped range "
        "up to 7, else 5 even on the scale.",
    )
    retune: tuple[Name, ...] = Field(
        default=(),
        max_length=100,
        description="Nuisance parameters, optimised anew for each arm before arms compare.",
    )
    narrow: Number | None = Field(
        default=None, gt=1, description="Search a range this many times smaller, around the incumbent."
    )
    data: Number | None = Field(default=None, gt=0, le=1, description="Share of the training data to use.")
    epochs: Positive | None = Field(
        default=None, description="Epochs to train for, instead of the trainer's."
    )


class MinImprovement(Model):
    RULES = (exactly_one("absolute", "sigma"),)

    absolute: Number | None = Field(default=None, ge=0, description="In units of the objective.")
    sigma: Number | None = Field(
        default=None, ge=0, description="In standard deviations of the noise between seeds."
    )


class Widen(Model):
    times: Positive = Field(default=1, description="How often a range may grow.")
    hard_min: dict[Name, Number] | None = Field(
        default=None, max_length=100, description="Never below, per parameter."
    )
    hard_max: dict[Name, Number] | None = Field(
        default=None, max_length=100, description="Never above, per parameter."
    )


class Final(Model):
    top: Positive | None = Field(default=None, description="How many of the best configurations to run.")
    seeds: Whole = Field(default=5, ge=2, le=1000, description="Fresh seeds per configuration. Default: 5.")
    refit: Flag | None = Field(
        default=None, description="Train the chosen configuration once more, on all data."
    )


class Iterative(Model):
    stages: tuple[Stage, ...] = Field(
        min_length=1, max_length=30, description="Searched one after the other, each from the best so far."
    )
    min_improvement: MinImprovement | None = Field(
        default=None,
        description="A gain up to this is not worth a change; the noise must be exceeded in any case.",
    )
    widen: Widen | None = Field(default=None, description="Grow a range whose end is best.")
    prefer_cheaper: Flag | None = Field(default=None, description="Among equals, take the quickest.")
    passes: Positive | None = Field(default=None, description="How often to go through all stages.")
    final: Final | None = Field(
        default=None,
        description="Run the chosen and the start configuration on fresh seeds, which choose nothing.",
    )


STRATEGIES = ("list", "grid", "random", "sobol", "bayesian", "iterative")


class Strategy(Model):
    RULES = (exactly_one(*STRATEGIES),)

    list: Configurations | None = Field(default=None, description="These configurations, in this order.")
    grid: Grid | None = Field(default=None, description="All combinations of evenly spaced values.")
    random: Random | None = Field(
        default=None, description="Independent draws, as many as maxTrials or budget allow."
    )
    sobol: Sobol | None = Field(default=None, description="Quasi-random draws.")
    bayesian: Bayesian | None = Field(default=None, description="Draws guided by a model of the results.")
    iterative: Iterative | None = Field(
        default=None, description="Stages, each adopting only what exceeds the noise."
    )

    @property
    def kind(self) -> str:
        return given(self, STRATEGIES)[0]


# -- early stopping


class Asha(Model):
    metric: Text = Field(description="Metric that decides.")
    goal: Goal = Field(description="Which way is better.")
    resource: Literal["epoch", "step"] = Field(default="epoch", description="What rungs count.")
    min: Positive = Field(default=1, description="First rung.")
    reduction: Whole = Field(default=3, ge=2, description="One of this many goes on at each rung.")


class Median(Model):
    metric: Text = Field(description="Metric that decides.")
    goal: Goal = Field(description="Which way is better.")
    min: Positive = Field(default=1, description="Reports of a trial before it may be stopped.")


class EarlyStopping(Model):
    RULES = (exactly_one("asha", "median"),)

    asha: Asha | None = Field(default=None, description="Successive halving without waiting.")
    median: Median | None = Field(
        default=None, description="Stop what is below the median of others at the same step."
    )
