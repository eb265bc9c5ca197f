"""A metric of some rows, and how far it may be off because these rows are a sample."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """Both in float64, ()."""

    value: Tensor
    error: Tensor | None = (
        None  # the standard error over samples of as many rows; None where no formula is at hand
    )


def estimate(value: Tensor, influence: Tensor) -> Estimate:
    """With the standard error sqrt(mean(influence^2) / n).

    The influence of a row, (n,), is the derivative of the value by that row's weight (Hampel, JASA 1974):
    the delta method, whose result is exact for means.
    """
    return Estimate(value, torch.linalg.vector_norm(influence) / len(influence))


def mean(values: Tensor) -> Estimate:
    """Of one number for each row, (n,)."""
    found = values.mean()
    return estimate(found, values - found)


def perplexity(nats: Tensor) -> Estimate:
    """exp of the mean nats of a token, which come as each row's mean, (n,)."""
    found = nats.mean().exp()
    return estimate(found, found * (nats - nats.mean()))
