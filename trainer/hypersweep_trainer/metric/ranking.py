"""Metrics of how well scores (n, classes) put the rows of a class before others.

With two classes they are those of class 1; with more, the mean over classes, each against all others.
Equal scores are one threshold.
"""

import torch
from torch import Tensor

from hypersweep_trainer.metric.estimate import Estimate


def auroc(scores: Tensor, y: Tensor) -> Estimate:
    """The probability that a row of a class scores higher than another row.

    A class that has no rows, or all of them, does not count; 1/2 where none counts. The standard error is
    that of Hanley and McNeil (Radiology 1982), for several classes the mean of theirs.
    """
    found = [_area(*_curve(scores[:, kind], y == kind)) for kind, rows in _kinds(scores, y) if rows < len(y)]
    if not found:
        return Estimate(scores.new_tensor(0.5))
    areas, errors = (torch.stack(values).mean() for values in zip(*found, strict=True))
    return Estimate(areas, errors)


def _area(hits: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    positive, negative = hits[-1], others[-1]
    area = torch.trapezoid(hits, others) / (positive * negative)
    two, pair = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positive - 1) * (two - area**2) + (negative - 1) * (pair - area**2)
    return area, (variance / (positive * negative)).clamp_min(0).sqrt()


def average_precision(scores: Tensor, y: Tensor) -> Estimate:
    """The mean precision over thresholds, each weighed by the share of a class's rows that it adds.

    A class without rows does not count; 0 where none counts.
    """
    found = [_precision(*_curve(scores[:, kind], y == kind)) for kind, _ in _kinds(scores, y)]
    return Estimate(torch.stack(found).mean() if found else scores.new_tensor(0.0))


def _precision(hits: Tensor, others: Tensor) -> Tensor:
    return (hits.diff() * hits[1:] / (hits[1:] + others[1:])).sum() / hits[-1]


def _kinds(scores: Tensor, y: Tensor) -> list[tuple[int, int]]:
    """The classes that are asked for and have rows, with their number."""
    rows = torch.bincount(y, minlength=scores.shape[1]).tolist()
    return [(kind, count) for kind, count in enumerate(rows) if count and not (len(rows) == 2 and kind == 0)]


def _curve(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """How many rows of the class, and others, score at least as high as each threshold, from none to all."""
    order = scores.argsort(descending=True)
    falls = scores[order].diff() != 0
    last = torch.cat([falls, falls.new_ones(1)])  # of the rows with one score
    hits = positive[order].cumsum(0)[last].double()
    both = torch.arange(1, len(scores) + 1, device=scores.device)[last]
    zero = hits.new_zeros(1)
    return torch.cat([zero, hits]), torch.cat([zero, both - hits])
