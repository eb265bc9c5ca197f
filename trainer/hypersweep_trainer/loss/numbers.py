"""Losses of numbers: functions of what is predicted and what is true, of one shape."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from hypersweep_trainer.loss.classes import Blended, Function
from hypersweep_trainer.options import Options

LEAST = 1.17e-6  # of a number that an error is divided by; torchmetrics has the same


def function(options: Options, reduction: str) -> Function:
    """The loss of each number, in their shape, for the reduction none, else the mean over all, ()."""
    match options.loss:
        case "mae":
            return partial(functional.l1_loss, reduction=reduction)
        case "huber":
            return partial(functional.huber_loss, delta=options.huber_delta, reduction=reduction)
        case "log_cosh":
            return _reduced(log_cosh, reduction)
        case "quantile":
            return _reduced(partial(quantile, q=options.quantile), reduction)
        case "mape":
            return _reduced(mape, reduction)
        case "msle":
            return _reduced(msle, reduction)
    return partial(functional.mse_loss, reduction=reduction)


def _reduced(each: Function, reduction: str) -> Function:
    return each if reduction == "none" else lambda output, y: each(output, y).mean()


def log_cosh(output: Tensor, y: Tensor) -> Tensor:
    """ln cosh of the error, in a form that does not overflow."""
    error = output - y
    return error + functional.softplus(-2 * error) - math.log(2)


def quantile(output: Tensor, y: Tensor, q: float) -> Tensor:
    """The check function, least on average at the quantile q (Koenker and Bassett 1978)."""
    error = y - output
    return torch.maximum(q * error, (q - 1) * error)


def mape(output: Tensor, y: Tensor) -> Tensor:
    """The error as a share of what is true."""
    return (output - y).abs() / y.abs().clamp_min(LEAST)


def msle(output: Tensor, y: Tensor) -> Tensor:
    """The squared error of ln(1 + number), for y above -1; the softplus of an output is what it predicts."""
    return (torch.log1p(functional.softplus(output)) - torch.log1p(y)).square()


def mixed(each: Function) -> Blended:
    """Of a blend of two targets, which is a number between them."""

    def blended(output: Tensor, y: Tensor, other: Tensor, share: Tensor) -> Tensor:
        return each(output, torch.lerp(other, y, share.view(-1, *(1,) * (y.ndim - 1))))

    return blended


def value(options: Options) -> Callable[[Tensor], Tensor]:
    """Outputs (n, 1) -> the numbers (n,) that they predict."""
    if options.loss == "msle":
        return lambda output: functional.softplus(output.squeeze(1))
    return lambda output: output.squeeze(1)
