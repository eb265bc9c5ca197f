"""The rows that checks look at, and the loss on them as evaluation sees it."""

import torch
from torch import Tensor, nn

from hypersweep_trainer import metric
from hypersweep_trainer.data import Data
from hypersweep_trainer.data.raw import Resident
from hypersweep_trainer.loss import Loss
from hypersweep_trainer.rank import Alone

ROWS = 512  # at most: enough for a mean loss to within a few hundredths


def spread(data: Data, count: int, device: torch.device) -> Tensor:
    """Numbers of training rows, evenly spaced: all of them, or `count` where there are more."""
    rows = len(data.train)
    return torch.linspace(0, rows - 1, min(count, rows), dtype=torch.float64, device=device).round().long()


def taken(data: Data, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Training rows as the network takes them, without augmentation, and their targets."""
    x, y = data.train.take(rows)
    x = data.finish(x)
    return x, x if data.form.target == "reconstruction" else y


def judged(data: Data, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Training rows as evaluation sees them, which may crop or scale images otherwise, and their targets."""
    if data.evaluated is None:
        return taken(data, rows)
    found = data.evaluated(rows.cpu().numpy())
    return found.take(torch.arange(len(rows), device=found.device))


def measured(network: nn.Module, rule: Loss, data: Data, x: Tensor, y: Tensor) -> tuple[float, float]:
    """The mean loss of rows, and its standard error."""
    found = metric.evaluate(network, Resident(x, y), data.form, data.scaling, Alone(x.device), "sample", rule)
    return found.values["sample_loss"], found.errors["sample_loss"]
