"""The check of gradients: slopes are those of finite differences, and wrong ones are found."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hypersweep_trainer.check.gradient import gradient
from hypersweep_trainer.data import load
from hypersweep_trainer.form import Form
from tests.trainer.checking import CPU, a_config, a_trial


@pytest.mark.parametrize(
    "options",
    [
        {"data": "digits"},
        {"data": "digits", "model": "cnn", "width": 4, "norm": "batch", "activation": "relu"},
        {"data": "synthetic_table", "class_weights": "balanced"},
        {"data": "diabetes", "loss": "huber"},
        {"data": "markov", "width": 16, "depth": 1},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_slopes_of_autograd_are_those_of_finite_differences(options: dict[str, Any]) -> None:
    config = a_config(**options)
    found = gradient(config, load(config, CPU), CPU)

    assert "ok" == found["verdict"]
    assert found["found"] < 1e-6


@pytest.mark.parametrize(("seconds", "slopes"), [(0.0, 1), (60.0, 20)])
def test_the_slopes_that_time_allows_are_told(
    seconds: float, slopes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["hypersweep_trainer.check.gradient"], "SECONDS", seconds)
    config = a_config(data="digits")
    looks: list[int] = []
    found = gradient(config, load(config, CPU), CPU, lambda: looks.append(1))

    assert "ok" == found["verdict"]
    assert f"of {slopes} slopes the worst is" in found["words"]
    assert slopes == len(looks)


class Wrong(torch.autograd.Function):
    """x^3 with a gradient that is a hundredth off."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return slopes[0] * 3.03 * x**2


class Cubed(nn.Sequential):
    def __init__(self, form: Form) -> None:
        super().__init__(nn.Linear(form.shape[0], 8), nn.Linear(8, form.outputs))

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = Wrong.apply(self[0](x))
        return self[1](hidden)


class Rounded(nn.Linear):
    """A network that takes float32 alone."""

    def __init__(self, form: Form) -> None:
        super().__init__(form.shape[0], form.outputs)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


def test_a_wrong_backward_pass_is_found() -> None:
    config = a_config(data="wine", model=f"{__name__}:Cubed")
    found = gradient(config, load(config, CPU), CPU)

    assert "fail" == found["verdict"]
    assert 0.005 < found["found"] < 0.02


def test_a_network_that_takes_no_float64_is_not_held_against_it(tmp_path: Path) -> None:
    checks = a_trial(tmp_path, thorough=True, data="wine", model=f"{__name__}:Rounded")["checks"]

    assert "hint" == checks["gradient"]["verdict"]
    assert "could not be made" in checks["gradient"]["words"]
