"""Metrics of predicted numbers (n,) against true ones (n,), both in original units and float64."""

import torch
from torch import Tensor

from hypersweep_trainer.loss.numbers import mape as relative
from hypersweep_trainer.metric.estimate import Estimate, estimate, mean

TINY = torch.finfo(torch.float64).tiny


def rmse(prediction: Tensor, y: Tensor) -> Estimate:
    """The root of the mean squared error."""
    return root((prediction - y).square())


def root(squares: Tensor) -> Estimate:
    """The root of the mean of each row's squares, (n,)."""
    value = squares.mean().sqrt()
    return estimate(value, (squares - value.square()) / (2 * value).clamp_min(TINY))


def mae(prediction: Tensor, y: Tensor) -> Estimate:
    """The mean absolute error."""
    return mean((prediction - y).abs())


def mape(prediction: Tensor, y: Tensor) -> Estimate:
    """The mean error as a share of what is true, which counts as 1.17e-6 at least."""
    return mean(relative(prediction, y))


def r2(prediction: Tensor, y: Tensor) -> Estimate:
    """The share of the variance that is explained; 0 where there is none."""
    squares, spread = (prediction - y).square(), (y - y.mean()).square()
    varied = (y != y[0]).any()
    variance = torch.where(varied, spread.mean(), 1.0)
    left = squares.mean() / variance
    influence = (squares - left * spread) / variance
    return estimate(torch.where(varied, 1 - left, 0.0), torch.where(varied, influence, 0.0))
