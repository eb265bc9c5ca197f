"""What experience says of a configuration: no verdict on it, but worth a look when a sweep begins."""

from collections.abc import Iterator

from hypersweep_trainer.check.bare import regularisers
from hypersweep_trainer.check.verdict import Verdict, hint, ok
from hypersweep_trainer.config import Config, maximized
from hypersweep_trainer.schedule import robbins_monro

SATURATING = ("tanh", "sigmoid", "lecun_tanh")
ENDING = ("cosine", "linear")  # schedules of a given number of steps, of which no limit is asked for
DEEP = 3  # layers above which skip connections help
MUCH = 0.5  # dropout


def advice(config: Config) -> Verdict:
    """All that applies to what was set by hand, in one verdict."""
    found = list(_hints(config))
    return hint(len(found), 0, "; ".join(found)) if found else ok(0, 0, "nothing to add")


def _hints(config: Config) -> Iterator[str]:
    options, given = config.options, {*config.fixed, *config.parameters}.intersection(config.resolved)
    saturates = options.activation in SATURATING
    if "init" in given and options.init.startswith("kaiming") and saturates:
        yield f"init: with activation {options.activation} try xavier, {options.init} is made for rectifiers"
    if "init" in given and options.init.startswith("xavier") and not saturates:
        yield f"init: with activation {options.activation} try kaiming, {options.init} is made for tanh"
    if not regularisers(config):
        yield "weight_decay: try some, or dropout, for nothing regularises"
    if "norm" in given and options.norm == "none":
        yield "norm: try batch for convolutions, layer elsewhere, most networks then learn faster"
    if "residual" in given and options.residual == "off" and (len(options.hidden) or options.depth) > DEEP:
        yield f"residual: try on, networks of more than {DEEP} layers then learn better"
    if "dropout" in given and options.dropout > MUCH:
        yield f"dropout: try less, or a larger width beside it, {options.dropout:g} may underfit"
    if "image_norm" in given and options.image_norm == "dataset" and options.pretrained:
        yield "image_norm: try pretrained, for the network has learned with other numbers"
    for goal in config.goals:
        if goal.maximize != maximized(goal.metric):
            better, wanted = ("smaller", "maximize") if goal.maximize else ("larger", "minimize")
            yield f"objectives: {goal.metric} is better when {better}, but the goal is {wanted}"
    diverges, converges, rates = robbins_monro(options)
    if options.schedule not in ENDING and not (diverges and converges):
        lacks = "the sum of their squares is infinite" if diverges else "their sum is finite"
        yield f"schedule: {rates} and {lacks}, where Robbins and Monro (1951) ask for the opposite"
