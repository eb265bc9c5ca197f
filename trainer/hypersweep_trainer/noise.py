"""The noise scale of the gradient, which tells how large a batch pays (arXiv 1812.06162, appendix A.1)."""

import math
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from hypersweep_trainer import metric
from hypersweep_trainer.augment.draws import tensor
from hypersweep_trainer.check.sample import taken
from hypersweep_trainer.counter import draw
from hypersweep_trainer.data import Data
from hypersweep_trainer.loss import Loss
from hypersweep_trainer.rank import Ranks

BATCHES = 32  # whose gradients are compared
ROWS = 4096  # in all of them, at most


def noise_scale(network: nn.Module, rule: Loss, data: Data, ranks: Ranks, seed: int, passed: int) -> float:
    """tr(Σ) / |G|²: the rows of a batch whose gradient has as much noise as signal.

    G is the gradient of the training loss, without penalties, and Σ the covariance of that of a single row.
    Both are estimated without bias from the gradients of small batches and from their mean; NaN where |G|²
    cannot be told from 0. The network is as in evaluation and rows are not augmented, so that the noise is
    that of the data alone; no pass has more than `passed` rows. All ranks call it and get the same, and it
    leaves no trace.
    """
    count = min(BATCHES, len(data.train))
    size = min(ROWS, len(data.train)) // count
    chosen = np.random.default_rng(seed).choice(len(data.train), count * size, replace=False)
    batches = tensor(chosen, data.train.device).view(count, size)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    sums = torch.zeros(1 + sum(map(torch.numel, weights)), dtype=torch.float64, device=ranks.device)
    with metric.evaluating(network), torch.random.fork_rng(_gpu(ranks.device)), differentiable(network):
        for number in ranks.share(count):
            torch.manual_seed(draw(seed, number))  # own networks may draw in evaluation, too
            found = _gradient(network, rule, data, batches[number], weights, passed)
            sums += torch.cat([found.square().sum(0, keepdim=True), found])
    sums = ranks.sum(sums) / count
    return estimated(float(sums[0]), float(sums[1:].square().sum()), count, size)


def estimated(small: float, big: float, count: int, size: int) -> float:
    """tr(Σ) / |G|² from mean |g|² of `count` batches of `size` rows, and |g|² of their mean."""
    if count < 2:
        return math.nan
    noise = (small - big) * size * count / (count - 1)
    signal = (count * big - small) / (count - 1)
    return noise / signal if signal > 0 else math.nan


def _gradient(
    network: nn.Module, rule: Loss, data: Data, rows: Tensor, weights: list[nn.Parameter], passed: int
) -> Tensor:
    """That of the mean over rows, (parameters,), in float64; `grad` of the weights stays as it is."""
    found: Tensor | float = 0.0
    for part in torch.split(rows, passed):
        x, y = taken(data, part)
        loss = rule.each(network(x).float(), y).sum() / len(rows)
        slopes = torch.autograd.grad(loss, weights, materialize_grads=True, allow_unused=True)
        found = torch.cat([slope.flatten() for slope in slopes]).double() + found
    assert isinstance(found, Tensor)
    return found


def differentiable(network: nn.Module) -> AbstractContextManager[None]:
    """Where a recurrent network has gradients in evaluation: cuDNN has them in training alone."""
    if any(isinstance(module, nn.RNNBase) for module in network.modules()):
        return torch.backends.cudnn.flags(enabled=False)
    return nullcontext()


def _gpu(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
