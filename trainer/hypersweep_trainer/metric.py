"""Losses, and what validation measures: exact over ranks, whatever the remainder."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersweep_trainer.data import Data, Split
from hypersweep_trainer.options import Options
from hypersweep_trainer.rank import Ranks

ROWS = 4096  # rows of one evaluation batch


def loss(options: Options, data: Data, reduction: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The training loss of a batch: cross-entropy of logits, or squared error of the standardised target."""
    if data.target == "regression":
        return lambda output, y: functional.mse_loss(output.squeeze(1), y, reduction=reduction)
    smoothing = options.label_smoothing
    return lambda output, y: functional.cross_entropy(
        output, y, reduction=reduction, label_smoothing=smoothing
    )


@torch.no_grad()
def evaluate(model: nn.Module, data: Data, part: Split, ranks: Ranks, name: str) -> dict[str, float]:
    """The metrics of a part of the data, all its rows counted once, in original units where they have one."""
    model.eval()
    sums = torch.zeros(3, dtype=torch.float64, device=part.y.device)
    measure = _errors if data.target == "regression" else _hits
    mine = ranks.share(len(part))
    for start in range(mine.start, mine.stop, ROWS):
        rows = slice(start, min(start + ROWS, mine.stop))
        sums += measure(model(part.x[rows]), part.y[rows])
    model.train()
    total, first, second = (value / len(part) for value in ranks.sum(sums).tolist())
    if data.target == "classification":
        return {f"{name}_loss": total, f"{name}_accuracy": first}
    spread = float(part.y.double().var(correction=0))
    return {
        f"{name}_loss": total,
        f"{name}_rmse": first**0.5 * data.scale,
        f"{name}_mae": second * data.scale,
        f"{name}_r2": 1 - first / spread if spread else 0.0,
    }


def _hits(output: Tensor, y: Tensor) -> Tensor:
    losses = functional.cross_entropy(output, y, reduction="none").double()
    hits = (output.argmax(1) == y).double()
    return torch.stack([losses.sum(), hits.sum(), hits.new_zeros(())])


def _errors(output: Tensor, y: Tensor) -> Tensor:
    errors = output.squeeze(1).double() - y.double()
    squared = errors.square().sum()
    return torch.stack([squared, squared, errors.abs().sum()])
