"""What a part of the data says of a network: every row counts once, however many ranks share the work."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hypersweep_trainer.data.raw import Rows
from hypersweep_trainer.data.scaling import Scaling
from hypersweep_trainer.form import Form
from hypersweep_trainer.loss import Loss
from hypersweep_trainer.metric.target import TARGETS, Column
from hypersweep_trainer.options.facts import METRICS, ON_REQUEST
from hypersweep_trainer.rank import Ranks
from hypersweep_trainer.stop import Stopped

__all__ = ["Measured", "evaluate", "evaluating"]

ROWS = 4096  # of one batch
NUMBERS = 1 << 24  # of one batch, in what goes into the network or comes out


@dataclass(frozen=True)
class Measured:
    """Metrics by name, and the standard errors of those that have one.

    A standard error tells how far the metric would lie on as many other rows of the same kind; it does not
    tell how far another seed would lie.
    """

    values: dict[str, float]
    errors: dict[str, float]


@torch.no_grad()
def evaluate(
    network: nn.Module,
    rows: Rows,
    form: Form,
    scaling: Scaling,
    ranks: Ranks,
    prefix: str,
    loss: Loss,
    wanted: Collection[str] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> Measured:
    """The usual metrics of a part of the data, and those on request that `wanted` names for any part.

    They are called `{prefix}_loss` and so on. The loss is that of training, without smoothing, threshold,
    weights of classes or penalties. Numbers are in original units; probabilities are the softmax of the
    outputs, whatever the loss. All ranks call it and get the same. Raises Stopped on all of them once one
    was asked to stop.
    """
    columns, known = TARGETS[form.target](form, scaling, loss)
    metrics = {name: known[name] for name in _names(form.target, wanted)}
    needed = {name: columns[name] for metric in metrics.values() for name in metric.columns}
    found = _collected(network, rows, ranks, needed, size(form), should_stop)
    estimates = {
        f"{prefix}_{name}": metric.of(*(found[column] for column in metric.columns))
        for name, metric in metrics.items()
    }
    errors = {name: one.error for name, one in estimates.items() if one.error is not None}
    numbers = torch.stack([*(one.value for one in estimates.values()), *errors.values()]).tolist()
    return Measured(
        dict(zip(estimates, numbers, strict=False)),
        dict(zip(errors, numbers[len(estimates) :], strict=True)),
    )


def _names(target: str, wanted: Collection[str]) -> list[str]:
    """The metrics to compute, without the name of a part."""
    asked = {name.partition("_")[2] for name in wanted}
    usual = [name.removeprefix("val_") for name in METRICS[target] if name.startswith("val_")]
    more = [name.removeprefix("val_") for name in ON_REQUEST.get(target, ())]
    return usual + [name for name in more if name in asked]


def size(form: Form) -> int:
    """Rows of a batch, fewer where they are large."""
    each = math.prod(form.shape) * (form.outputs if form.target == "tokens" else 1)
    return max(1, min(ROWS, NUMBERS // each))


def _collected(
    network: nn.Module,
    rows: Rows,
    ranks: Ranks,
    columns: Mapping[str, Column],
    size: int,
    should_stop: Callable[[], bool],
) -> dict[str, Tensor]:
    """The columns of all rows, in float64 or int64; each rank computes its share of them."""

    def asked() -> bool:
        return ranks.asked(should_stop())

    widths = [column.width for column in columns.values()]
    parts = [torch.zeros(0, sum(widths), dtype=torch.float64, device=ranks.device)]
    mine = ranks.share(len(rows))
    batches = torch.split(torch.arange(mine.start, mine.stop, device=rows.device), size) if mine else ()
    rows.hint(batches)
    with evaluating(network):
        for batch in batches:
            if asked():
                break
            x, y = rows.take(batch)
            output = network(x).float()
            kept = [column.of(output, y).double().view(len(y), -1) for column in columns.values()]
            parts.append(torch.cat(kept, 1))
    if ranks.meet(asked):
        raise Stopped
    table = torch.split(ranks.collect(torch.cat(parts)), widths, 1)
    return {
        name: _read(values, column) for (name, column), values in zip(columns.items(), table, strict=True)
    }


def _read(values: Tensor, column: Column) -> Tensor:
    values = values.squeeze(1) if column.width == 1 else values
    return values.long() if column.whole else values


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Without dropout, with running means; afterwards all is as before, also what was kept from training."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
