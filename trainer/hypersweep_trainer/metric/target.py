"""For each kind of target: what is kept of every row, and the metrics that follow from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor
from torch.nn import functional

from hypersweep_trainer.data.scaling import Scaling
from hypersweep_trainer.form import Form
from hypersweep_trainer.loss import Loss
from hypersweep_trainer.metric import classes, numbers, ranking
from hypersweep_trainer.metric.estimate import Estimate, mean, perplexity


@dataclass(frozen=True)
class Column:
    """What metrics need of a row: values (n,) or (n, width) of outputs and targets."""

    of: Callable[[Tensor, Tensor], Tensor]
    width: int = 1
    whole: bool = False  # whether they are whole numbers


@dataclass(frozen=True)
class Metric:
    """A function of columns of all rows."""

    of: Callable[..., Estimate]
    columns: tuple[str, ...]


Kept = Mapping[str, Column]
Known = Mapping[str, Metric]


def of_class(form: Form, scaling: Scaling, loss: Loss) -> tuple[Kept, Known]:
    """One class for each row."""
    count = form.outputs
    columns = {
        "loss": Column(loss.plain),
        "nats": Column(partial(functional.cross_entropy, reduction="none")),
        "y": Column(lambda output, y: y, whole=True),
        "predicted": Column(lambda output, y: output.argmax(1), whole=True),
        "place": Column(classes.place, whole=True),
        "confidence": Column(lambda output, y: functional.softmax(output.double(), 1).amax(1)),
        "scores": Column(_scores, width=count),
    }
    both = ("predicted", "y")
    metrics = {
        "loss": Metric(mean, ("loss",)),
        "accuracy": Metric(classes.accuracy, both),
        "balanced_accuracy": Metric(partial(classes.balanced_accuracy, count=count), both),
        "f1": Metric(partial(classes.f1, count=count), both),
        "top5_accuracy": Metric(classes.top5, ("place",)),
        "auroc": Metric(ranking.auroc, ("scores", "y")),
        "average_precision": Metric(ranking.average_precision, ("scores", "y")),
        "log_loss": Metric(mean, (_nats(loss),)),
        "calibration_error": Metric(classes.calibration_error, ("confidence", *both)),
    }
    return columns, metrics


def _scores(output: Tensor, y: Tensor) -> Tensor:
    """ln p of each class, (n, classes), rounded to float32: what only the last bits tell apart is equal."""
    return functional.log_softmax(output.double(), 1).float()


def of_tokens(form: Form, scaling: Scaling, loss: Loss) -> tuple[Kept, Known]:
    """One token at each place of a row; they depend on each other, so that errors count rows, not tokens."""

    def shares(of: Callable[[Tensor, Tensor], Tensor]) -> Column:
        return Column(lambda output, y: of(output.flatten(0, 1), y.flatten()).view_as(y).double().mean(1))

    columns = {
        "loss": Column(loss.plain),
        "nats": shares(partial(functional.cross_entropy, reduction="none")),
        "hits": shares(lambda output, y: output.argmax(1) == y),
        "near": shares(lambda output, y: classes.place(output, y) < classes.TOP),
    }
    metrics = {
        "loss": Metric(mean, ("loss",)),
        "accuracy": Metric(mean, ("hits",)),
        "nats_per_token": Metric(mean, (_nats(loss),)),
        "perplexity": Metric(perplexity, (_nats(loss),)),
        "top5_accuracy": Metric(mean, ("near",)),
    }
    return columns, metrics


def _nats(loss: Loss) -> str:
    """Where -ln p of the target is found."""
    return "loss" if loss.likelihood else "nats"


def of_number(form: Form, scaling: Scaling, loss: Loss) -> tuple[Kept, Known]:
    """One number for each row, measured in its original units."""
    columns = {
        "loss": Column(loss.plain),
        "y": Column(lambda output, y: scaling.undo(y.double())),
        "prediction": Column(lambda output, y: scaling.undo(loss.value(output).double())),
    }
    both = ("prediction", "y")
    metrics = {
        "loss": Metric(mean, ("loss",)),
        "rmse": Metric(numbers.rmse, both),
        "mae": Metric(numbers.mae, both),
        "r2": Metric(numbers.r2, both),
        "mape": Metric(numbers.mape, both),
    }
    return columns, metrics


def of_row(form: Form, scaling: Scaling, loss: Loss) -> tuple[Kept, Known]:
    """The row itself, in the units in which the network sees it."""
    columns = {
        "loss": Column(loss.plain),
        "square": Column(lambda output, y: (output - y).double().square().flatten(1).mean(1)),
    }
    return columns, {"loss": Metric(mean, ("loss",)), "rmse": Metric(numbers.root, ("square",))}


TARGETS: Mapping[str, Callable[[Form, Scaling, Loss], tuple[Kept, Known]]] = {
    "classification": of_class,
    "tokens": of_tokens,
    "regression": of_number,
    "reconstruction": of_row,
}
