"""Losses of numbers agree with published values and with torchmetrics."""

import math
from typing import Any

import pytest
import torch
import torchmetrics.functional.regression as regression
from torch.nn import functional

from hypersweep_trainer.batch import Batch
from hypersweep_trainer.loss.numbers import msle, quantile
from tests.trainer.losses import a_batch, a_loss


def numbers(name: str, output: list[float], y: list[float], **options: Any) -> float:
    found = a_loss("regression", loss=name, **options).mean(torch.tensor(output)[:, None], torch.tensor(y))
    return float(found)


@pytest.mark.parametrize(("name", "best"), [("mse", 22.0), ("mae", 3.0), ("quantile", 3.0)])
def test_the_best_constant_is_the_mean_or_the_median(name: str, best: float) -> None:
    y = torch.tensor([1.0, 2.0, 3.0, 4.0, 100.0])
    constants = torch.arange(0, 100, 0.1)
    chosen = a_loss("regression", loss=name)
    found = torch.stack([chosen.mean(constant.expand(5, 1), y) for constant in constants])

    assert best == pytest.approx(float(constants[found.argmin()]), abs=0.01)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_quantile_loss_asks_for_its_quantile(q: float) -> None:
    y = torch.randn(2001, generator=torch.Generator().manual_seed(1))
    constants = torch.arange(-2, 2, 0.01)[:, None]
    found = quantile(constants, y[None], q).mean(1).argmin()

    assert float(y.quantile(q)) == pytest.approx(float(constants[found]), abs=0.02)


def test_huber_has_its_published_values() -> None:
    output, y, _ = a_batch("regression")
    for delta in (0.5, 1.0, 2.0):
        expected = delta * functional.smooth_l1_loss(output.squeeze(1), y, beta=delta)

        torch.testing.assert_close(
            expected, a_loss("regression", loss="huber", huber_delta=delta).mean(output, y)
        )
    assert 2.5 == numbers("huber", [3.0], [0.0])


def test_the_gradient_of_huber_is_bounded() -> None:
    output = torch.linspace(-50, 50, 101)[:, None].requires_grad_()
    a_loss("regression", loss="huber", huber_delta=0.7).each(output, torch.zeros(101)).sum().backward()

    assert output.grad is not None
    assert pytest.approx(0.7) == float(output.grad.abs().max())


def test_mape_and_msle_and_log_cosh_have_their_published_values() -> None:
    assert pytest.approx(0.2667, abs=1e-4) == numbers("mape", [0.9, 15, 1.2e6], [1, 10, 1e6])
    assert math.isfinite(numbers("mape", [0.1], [0.0]))
    assert pytest.approx(1.0) == numbers("msle", [-100.0], [math.e - 1])
    assert pytest.approx(math.log(math.cosh(1.5)), abs=1e-6) == numbers("log_cosh", [1.5], [0.0])
    assert pytest.approx(1000 - math.log(2)) == numbers("log_cosh", [-1000.0], [0.0])


def test_numbers_agree_with_torchmetrics() -> None:
    output, y, _ = a_batch("regression", 200)
    positive = y.abs() * 100
    softened = functional.softplus(output.squeeze(1))

    torch.testing.assert_close(
        regression.mean_absolute_percentage_error(output.squeeze(1), y),
        a_loss("regression", loss="mape").mean(output, y),
    )
    torch.testing.assert_close(
        regression.mean_squared_log_error(softened, positive),
        a_loss("regression", loss="msle").mean(output, positive),
    )
    torch.testing.assert_close(
        regression.log_cosh_error(output.squeeze(1), y), a_loss("regression", loss="log_cosh").mean(output, y)
    )


def test_msle_is_about_ratios() -> None:
    y = torch.tensor([20.0, 50.0, 200.0])
    prediction = torch.tensor([15.0, 80.0, 110.0])
    small, large = (float(msle(factor * prediction, factor * y).mean()) for factor in (1, 10))

    assert small == pytest.approx(large, rel=0.05)


def test_the_output_of_msle_stands_for_its_softplus() -> None:
    output = torch.tensor([[-3.0], [2.0]])

    torch.testing.assert_close(
        functional.softplus(output[:, 0]), a_loss("regression", loss="msle").value(output)
    )
    assert torch.equal(output[:, 0], a_loss("regression").value(output))


@pytest.mark.parametrize("target", ["regression", "reconstruction"])
def test_numbers_of_a_blend_are_blended(target: str) -> None:
    output, y, other = a_batch(target)
    weight = torch.linspace(0, 1, 12)
    parts = weight.view(12, *(1,) * (y.ndim - 1))
    chosen = a_loss(target)
    expected = chosen.each(output, parts * y + (1 - parts) * other).sum()

    torch.testing.assert_close(expected, chosen.total(output, Batch(output, y, other_y=other, weight=weight)))
