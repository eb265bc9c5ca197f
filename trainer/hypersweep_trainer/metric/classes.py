"""Metrics of predicted classes (n,) against true ones (n,)."""

import torch
from torch import Tensor

from hypersweep_trainer.metric.estimate import Estimate, estimate, mean

TOP = 5
BINS = 15  # of confidence, as in arXiv 1706.04599


def accuracy(predicted: Tensor, y: Tensor) -> Estimate:
    """The share of rows whose class is right."""
    return mean((predicted == y).double())


def balanced_accuracy(predicted: Tensor, y: Tensor, count: int) -> Estimate:
    """The mean over classes of the share of their rows that is right; one without rows does not count."""
    hits = (predicted == y).double()
    rows = _sums(torch.ones_like(hits), y, count)
    present = (rows > 0).sum()
    recall = _sums(hits, y, count) / rows.clamp_min(1)
    influence = (hits - recall[y]) * len(y) / (rows[y] * present)
    return estimate(recall.sum() / present, influence)


def f1(predicted: Tensor, y: Tensor, count: int) -> Estimate:
    """The mean over classes of 2 hits / (rows + predictions); a class without either does not count."""
    hits = (predicted == y).double()
    either = _sums(torch.ones_like(hits).repeat(2), torch.cat([y, predicted]), count)
    present = (either > 0).sum()
    scores = 2 * _sums(hits, y, count) / either.clamp_min(1)
    weight = len(y) / (either.clamp_min(1) * present)
    influence = 2 * hits * weight[y] - (scores * weight)[y] - (scores * weight)[predicted]
    return estimate(scores.sum() / present, influence)


def _sums(values: Tensor, y: Tensor, count: int) -> Tensor:
    """The sum of values (n,) by class, (count,)."""
    return values.new_zeros(count).index_add_(0, y, values)


def top5(place: Tensor) -> Estimate:
    """The share of rows whose class is among the five that score highest, from its `place`."""
    return mean((place < TOP).double())


def place(output: Tensor, y: Tensor) -> Tensor:
    """How many classes score higher than the true one, (n,); of two equal scores the lower class's does."""
    own = output.gather(1, y[:, None])
    lower = torch.arange(output.shape[1], device=y.device) < y[:, None]
    return ((output > own) | ((output == own) & lower)).sum(1)


def calibration_error(confidence: Tensor, predicted: Tensor, y: Tensor) -> Estimate:
    """How far the probability of the predicted class is from accuracy, in each of 15 bins of equal width.

    The mean over rows of their bin's difference (Naeini et al., AAAI 2015). Bins include their upper end.
    """
    bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    excess = _sums(confidence - (predicted == y).double(), bins, BINS)
    return Estimate(excess.abs().sum() / len(y))
