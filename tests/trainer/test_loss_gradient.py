"""The gradient of every loss of our own is that of its formula, by finite differences."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from hypersweep_trainer.loss.classes import bce, focal
from hypersweep_trainer.loss.numbers import log_cosh, mape, msle, quantile
from tests.trainer.losses import a_loss


def doubles(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


TRUE = torch.tensor([0, 2, 1, 2])
HAND_WRITTEN: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "focal": (lambda output: focal(output, TRUE, 1.7), doubles(4, 3)),
    "focal, smoothed": (lambda output: focal(output, TRUE, 0.5, 0.1), doubles(4, 3)),
    "bce": (lambda output: bce(output, TRUE, 0.1), doubles(4, 3)),
    "log_cosh": (lambda output: log_cosh(output, doubles(6, seed=4)), 3 * doubles(6)),
    "quantile": (lambda output: quantile(output, doubles(6, seed=4), 0.3), doubles(6)),
    "mape": (lambda output: mape(output, doubles(6, seed=4)), doubles(6)),
    "msle": (lambda output: msle(output, doubles(6, seed=4).exp()), doubles(6)),
    "blend": (
        lambda output: a_loss(loss="focal", classes=3).blended(
            output, TRUE, TRUE.flip(0), torch.linspace(0, 1, 4, dtype=torch.float64)
        ),
        doubles(4, 3),
    ),
}


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    function, at = HAND_WRITTEN[name]

    assert torch.autograd.gradcheck(function, at.clone().requires_grad_(), eps=1e-6, atol=1e-8, rtol=1e-6)


class Planted(torch.autograd.Function):
    """log_cosh with a gradient that is wrong by one in a thousand."""

    @staticmethod
    def forward(context: Any, error: Tensor) -> Tensor:
        context.save_for_backward(error)
        return log_cosh(error, torch.zeros_like(error))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (error,) = context.saved_tensors
        return 1.001 * error.tanh() * gradient


def test_a_planted_wrong_gradient_is_found() -> None:
    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(Planted.apply, doubles(6).requires_grad_(), eps=1e-6, atol=1e-8, rtol=1e-6)
