"""The checks on few rows: they are learned by heart, and every regulariser makes that harder."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hypersweep_trainer.check.few import Few
from hypersweep_trainer.data import load
from hypersweep_trainer.data.raw import Resident
from hypersweep_trainer.form import Form
from tests.trainer.checking import CPU, a_config, a_trial
from tests.trainer.runs import rows


@pytest.mark.parametrize(
    ("options", "bar"),
    [
        ({"data": "digits"}, 1e-3),
        ({"data": "wine"}, 1e-3),
        ({"data": "diabetes"}, 1e-4),
        ({"data": "markov"}, 1e-3),
        ({"data": "brackets"}, 1e-3),
    ],
)
def test_few_rows_are_learned_by_heart(options: dict[str, Any], bar: float) -> None:
    config = a_config(**options)
    found = Few(config, load(config, CPU), CPU).overfit()

    assert "ok" == found["verdict"]
    assert found["found"] < bar


def test_no_regularisation_keeps_few_rows_from_being_learned() -> None:
    config = a_config(
        data="digits", depth=4, dropout=0.5, dropconnect=0.5, stochastic_depth=0.5, l1=0.1,
        l2=0.1, label_smoothing=0.3, weight_decay=1.0, mixup_alpha=1.0, cutmix_alpha=1.0, rotate=90.0,
        erase=1.0,
        patience=1,
    )  # fmt: skip

    assert "ok" == Few(config, load(config, CPU), CPU).overfit()["verdict"]


class Dead(nn.Sequential):
    """Units whose biases keep them at 0, and their gradients, too."""

    def __init__(self, form: Form) -> None:
        hidden = nn.Linear(form.shape[0], 32)
        nn.init.constant_(hidden.bias, -100.0)
        super().__init__(hidden, nn.ReLU(), nn.Linear(32, form.outputs))


class Shuffled:
    """Rows whose targets are those of other rows, each time of others."""

    def __init__(self, rows: Resident) -> None:
        self._rows, self._times = rows, 0

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        self._times += 1
        x, y = self._rows.take(rows)
        return x, y.roll(self._times)

    def hint(self, batches: Iterable[Tensor]) -> None:
        pass


def test_dead_units_are_found() -> None:
    config = a_config(data="wine", model=f"{__name__}:Dead")
    found = Few(config, load(config, CPU), CPU).overfit()

    assert "fail" == found["verdict"]
    assert found["found"] > 0.5


@pytest.mark.parametrize(
    ("size", "loss", "told"),
    [
        (1e6, "mse", "; targets are around 1e+06: set target_norm"),
        (1e-6, "mse", "; targets are around 1e-06: set target_norm"),
        (1e6, "mape", "; targets are around 1e+06: choose another unit"),
        (1.0, "mse", ", or wrong targets"),
    ],
)
def test_targets_of_another_scale_that_nothing_scales_are_told(size: float, loss: str, told: str) -> None:
    config = a_config(data="diabetes", target_norm="none", loss=loss, model=f"{__name__}:Dead")
    data = load(config, CPU)
    assert isinstance(data.train, Resident)
    y = size * torch.where(torch.arange(len(data.train)) % 2 == 0, 1.0, -1.0)
    found = Few(config, replace(data, train=Resident(data.train.x, y)), CPU).overfit()

    assert "fail" == found["verdict"]
    assert found["words"].endswith(told)


@pytest.mark.parametrize("options", [{}, {"target_norm": "none", "output_range": [0.0, 400.0]}])
def test_the_scale_of_targets_is_no_fault_where_it_is_known(options: dict[str, Any]) -> None:
    config = a_config(data="diabetes", model=f"{__name__}:Dead", **options)
    found = Few(config, load(config, CPU), CPU).overfit()

    assert "ok" != found["verdict"]
    assert "target_norm" not in found["words"]


def test_shuffled_targets_are_found() -> None:
    config = a_config(data="wine")
    data = load(config, CPU)
    assert isinstance(data.train, Resident)
    few = Few(config, replace(data, train=Shuffled(data.train)), CPU)
    found = few.overfit()

    assert "fail" == found["verdict"]
    assert "other targets" in found["words"]
    assert {} == few.regularisation()


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.01},
        {"dropconnect": 0.1},
        {"stochastic_depth": 0.1, "depth": 4},
        {"label_smoothing": 0.01},
        {"weight_decay": 1e-6},
        {"l1": 1e-8},
        {"l2": 1e-8},
        {"rotate": 5.0},
        {"flip": 0.01},
        {"mixup_alpha": 0.1},
        {"cutmix_alpha": 0.1},
        {"data": "diabetes", "swap_noise": 0.02},
        {"data": "markov", "token_drop": 0.02},
        {"data": "brackets", "mixup_alpha": 0.1},
    ],
    ids=lambda options: next(name for name in reversed(options) if name not in ("data", "depth")),
)
def test_each_regulariser_makes_itself_felt(options: dict[str, Any]) -> None:
    config = a_config(**{"data": "digits", "width": 32, "weight_decay": 0.0, **options})
    few = Few(config, load(config, CPU), CPU)
    few.overfit()
    found = few.regularisation()

    assert "ok" == found["verdict"], found["words"]
    assert all(name in found["words"] for name in options if name not in ("data", "depth", "weight_decay"))


@pytest.fixture(scope="module")
def unregularised(tmp_path_factory: pytest.TempPathFactory) -> float:
    return _train_loss(tmp_path_factory.mktemp("none"))


def _train_loss(root: Path, **options: Any) -> float:
    given = {"depth": 4, "epochs": 6, "lr": 3e-3, "weight_decay": 0.0, "checks": "off", **options}
    a_trial(root, **given)
    return float(rows(root)[-1]["metrics"]["train_loss"])


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.5},
        {"dropconnect": 0.5},
        {"stochastic_depth": 0.5},
        {"label_smoothing": 0.2},
        {"weight_decay": 10.0},
        {"l1": 0.02},
        {"l2": 0.2},
        {"rotate": 45.0},
        {"mixup_alpha": 1.0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_each_regulariser_makes_training_harder(
    options: dict[str, Any], tmp_path: Path, unregularised: float
) -> None:
    assert _train_loss(tmp_path, **options) > 1.05 * unregularised


@pytest.mark.parametrize("name", ["l1", "l2", "weight_decay"])
def test_a_penalty_of_the_wrong_sign_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would reward large weights, so that L + penalty < L."""
    config = a_config(data="digits", width=32, **{"weight_decay": 0.0, "grad_noise": 0.1, name: 0.1})
    few = Few(config, load(config, CPU), CPU)
    few.overfit()
    wrong = replace(config, options=replace(config.options, **{name: -0.1}))

    assert "ok" == few.regularisation()["verdict"]
    monkeypatch.setattr("hypersweep_trainer.check.few.bare", lambda *_, **__: wrong)
    assert "fail" == few.regularisation()["verdict"]


def test_a_dead_option_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hypersweep_trainer.model.layer.dropout", lambda *_, **__: nn.Identity())
    config = a_config(data="digits", width=32, dropout=0.5)
    few = Few(config, load(config, CPU), CPU)
    few.overfit()
    found = few.regularisation()

    assert "fail" == found["verdict"]
    assert found["words"].startswith("dropout: changes nothing")
