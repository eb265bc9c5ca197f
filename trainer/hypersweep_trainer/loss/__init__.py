"""What training minimises, chosen once when a run starts, so that no step pays for what is off."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from hypersweep_trainer.batch import Batch
from hypersweep_trainer.form import Form
from hypersweep_trainer.loss import classes, numbers
from hypersweep_trainer.loss.classes import Blended, Function
from hypersweep_trainer.options import Options

__all__ = ["Loss", "build"]


@dataclass(frozen=True)
class Loss:
    """The loss of a run, of outputs and targets as `Network` and `Rows` give them."""

    mean: Function  # of rows with plain targets, (): what a step without blends calls
    each: Function  # of each row with plain targets, (n,): its mean over tokens, or over the numbers of a row
    blended: Blended  # of each row of a blend, (n,); its arguments are output, y, other_y and weight
    plain: Function  # of each row as evaluation reports it, (n,): no smoothing, threshold or class weights
    likelihood: bool  # whether `plain` is -ln p of the target, p from the softmax of the output
    value: Callable[[Tensor], Tensor]  # of a regression: the numbers that outputs stand for, (n,), scaled

    def total(self, output: Tensor, batch: Batch) -> Tensor:
        """The sum over rows, (), in float32 whatever autocast made of the output; 0 for no rows."""
        output = output.float()
        if batch.other_y is None or batch.weight is None:
            return self.each(output, batch.y).sum()
        return self.blended(output, batch.y, batch.other_y, batch.weight).sum()


def build(options: Options, form: Form, frequencies: Sequence[float]) -> Loss:
    """The loss that the options name; `frequencies` are the shares of the classes among the training rows."""
    discrete = form.target in ("classification", "tokens")
    function = classes.function if discrete else numbers.function
    whole, rows = WHOLE.get(form.target, _same), ROWS.get(form.target, _same)
    mean, each = whole(function(options, "mean")), rows(function(options, "none"))
    plain = rows(function(replace(options, label_smoothing=0.0, bce_threshold=0.0, focal_alpha=0.0), "none"))
    weight = classes.weight(frequencies) if options.class_weights == "balanced" else None
    if weight is not None:
        each = classes.weighed(each, weight)
        mean = _averaged(each)
    blended = classes.mixed(each) if discrete else numbers.mixed(each)
    if options.loss == "bce" and options.bce_threshold:
        blended = classes.thresholded(options, weight)
    likelihood = options.loss == "cross_entropy"
    return Loss(mean, each, blended, plain, likelihood, numbers.value(options))


def _same(function: Function) -> Function:
    return function


def _averaged(each: Function) -> Function:
    return lambda output, y: each(output, y).mean()


def _of_column(function: Function) -> Function:
    return lambda output, y: function(output.squeeze(1), y)


def _of_tokens(function: Function) -> Function:
    return lambda output, y: function(output.flatten(0, 1), y.flatten())


def _by_tokens(function: Function) -> Function:
    return lambda output, y: function(output.flatten(0, 1), y.flatten()).view_as(y).mean(1)


def _by_numbers(function: Function) -> Function:
    return lambda output, y: function(output, y).flatten(1).mean(1)


# By target, how a function of single outputs becomes one of a batch: its mean, and that of each row.
WHOLE: Mapping[str, Callable[[Function], Function]] = {"regression": _of_column, "tokens": _of_tokens}
ROWS: Mapping[str, Callable[[Function], Function]] = {
    "regression": _of_column,
    "tokens": _by_tokens,
    "reconstruction": _by_numbers,
}
