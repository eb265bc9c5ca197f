"""The noise scale of the gradient: what it is, that it is the same everywhere, that it changes nothing."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hypersweep_trainer import loss
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data, load
from hypersweep_trainer.data.raw import Resident
from hypersweep_trainer.noise import BATCHES, ROWS, differentiable, estimated, noise_scale
from hypersweep_trainer.rank import Alone
from tests.trainer.processes import a_port
from tests.trainer.runs import an_environment, curve, rows, start, stop_after, train, weights

CPU = torch.device("cpu")
COLUMNS, COUNT = 20, 9000
TRUE = torch.linspace(-1, 1, COLUMNS)


def line() -> tuple[Any, Any]:
    """Independent normal columns, and a linear function of them with normal noise of deviation 1."""
    random = np.random.default_rng(0)
    x = random.standard_normal((COUNT, COLUMNS))
    return x, x @ TRUE.double().numpy() + random.standard_normal(COUNT)


def some_data(count: int = COUNT) -> tuple[Config, Data]:
    given = {
        "data": f"{__name__}:line", "num_encoder": "none", "target_norm": "none", "val_fraction": 0.1,
        "subset_fraction": count / COUNT,
    }  # fmt: skip
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps(given)})
    data = load(config, CPU)
    return config.told(data.facts), data


def away(distance: float) -> nn.Linear:
    """The true line, but for a distance of its weights."""
    network = nn.Linear(COLUMNS, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(TRUE + distance / COLUMNS**0.5)
    return network


def found(network: nn.Module, config: Config, data: Data, seed: int, passed: int = 64) -> float:
    rule = loss.build(config.options, data.form, data.frequencies)
    return noise_scale(network, rule, data, Alone(CPU), seed, passed)


@pytest.mark.parametrize("distance", [0.5, 2.0])
def test_the_noise_scale_of_a_linear_model_is_that_of_its_covariance(distance: float) -> None:
    # Of the gradient 2 (x.d - e) x with d away from the truth, x ~ N(0, 1), e ~ N(0, 1): G = 2 d, and
    # tr(S) = 4 ((columns + 1) |d|^2 + columns).
    expected = COLUMNS + 1 + COLUMNS / distance**2
    config, data = some_data()
    estimates = [found(away(distance), config, data, seed) for seed in range(4)]

    assert pytest.approx(expected, rel=0.2) == np.mean(estimates)


@pytest.mark.parametrize("passed", [1000, 7])
def test_the_noise_scale_is_what_the_gradients_of_single_batches_say(passed: int) -> None:
    config, data = some_data(400)
    network = away(1.0)
    size = len(data.train) // BATCHES
    chosen = np.random.default_rng(5).choice(len(data.train), BATCHES * size, replace=False)
    assert isinstance(data.train, Resident)
    x, y = (part.double().numpy()[chosen] for part in (data.train.x, data.train.y))
    errors = x @ network.weight.detach().double().numpy()[0] - y
    each = (2 * errors[:, None] * x).reshape(BATCHES, size, COLUMNS).mean(1)
    small, big = (each**2).sum(1).mean(), (each.mean(0) ** 2).sum()
    few, many = size, BATCHES * size
    signal = (many * big - few * small) / (many - few)  # arXiv 1812.06162, A.2 and A.3
    noise = (small - big) / (1 / few - 1 / many)

    assert ROWS > many > passed or passed == 1000
    assert pytest.approx(noise / signal, rel=1e-5) == found(network, config, data, 5, passed)


def test_what_cannot_be_told_from_noise_is_no_number() -> None:
    assert math.isnan(estimated(2.0, 2.0, 1, 8))
    assert math.isnan(estimated(32.0, 0.9, 32, 8))
    assert pytest.approx(0.0) == estimated(2.0, 2.0, 32, 8)


def test_ranks_find_the_noise_scale_of_one_process(tmp_path: Path) -> None:
    options = {"noise_scale": True, "epochs": 1, "lr": 1e-8, "grad_accum": 2, "checks": "off"}
    two = an_environment(tmp_path / "two", options, ranks=2, PET_MASTER_PORT=a_port())
    process = start(two)
    train(an_environment(tmp_path / "one", options))

    assert 0 == process.wait(timeout=200)
    (_, alone), (_, together) = (curve(tmp_path / name)[-1] for name in ("one", "two"))
    assert alone["noise_scale"] > 0
    assert pytest.approx(alone["noise_scale"], rel=1e-4) == together["noise_scale"]


def test_measuring_the_noise_scale_leaves_no_trace(tmp_path: Path) -> None:
    options = {
        "norm": "batch", "dropout": 0.3, "ema": 0.9, "noise": 0.1, "optimizer": "sgd", "checks": "off",
        "data": "wine", "batch_size": 16, "checkpoint_seconds": 0,
    }  # fmt: skip
    for name, on in {"with": True, "without": False, "stopped": True}.items():
        stop = stop_after(11) if name == "stopped" else lambda: False
        train(an_environment(tmp_path / name, {**options, "noise_scale": on}), stop)
    train(an_environment(tmp_path / "stopped", {**options, "noise_scale": True}, attempt=1))
    found, plain = curve(tmp_path / "with"), curve(tmp_path / "without")
    measured = [metrics.pop("noise_scale") for _, metrics in found if "noise_scale" in metrics]

    assert plain == found
    assert measured
    assert all(value > 0 for value in measured)
    one, other = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert curve(tmp_path / "with") == curve(tmp_path / "stopped", 0, 1)
    assert {"epoch"} <= set(rows(tmp_path / "with")[0])


@pytest.mark.parametrize("recurrent", [True, False])
def test_only_a_recurrent_network_is_measured_without_cudnn(recurrent: bool) -> None:
    cell = nn.LSTM(8, 4) if recurrent else nn.Linear(8, 4)

    with differentiable(nn.Sequential(cell)):
        assert torch.backends.cudnn.enabled is not recurrent
    assert torch.backends.cudnn.enabled
