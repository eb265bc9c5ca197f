"""The checks: each says ok of what is sound, and finds the fault that it is there for."""

import json
import math
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hypersweep_trainer import check, model
from hypersweep_trainer.check import course, sample, start
from hypersweep_trainer.check.advice import advice
from hypersweep_trainer.check.few import Few
from hypersweep_trainer.check.gradient import gradient
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data, load, read, split
from hypersweep_trainer.data.raw import Resident
from hypersweep_trainer.data.view import evaluation
from hypersweep_trainer.form import Form
from hypersweep_trainer.model.sync import synchronise
from hypersweep_trainer.options import DATASETS
from tests.trainer.processes import a_port
from tests.trainer.runs import SMALL, an_environment, left, rows, train
from tests.trainer.runs import start as run

CPU = torch.device("cpu")
FREE = {"zero_mean", "first_loss", "diverged", "stalled", "gap"}
THOROUGH = FREE | {"gradient", "overfit_small", "regularisation", "hints"}
FEW: dict[str, dict[str, Any]] = {  # rows, for speed
    "synthetic_images": {"synthetic_rows": 100},
    "synthetic_table": {"synthetic_rows": 400},
    "markov": {"synthetic_rows": 40, "context": 32},
    "brackets": {"synthetic_rows": 100, "context": 32},
}


def a_config(**options: Any) -> Config:
    given = {**FEW.get(options.get("data", ""), {}), **options}
    return Config.read({"HYPERSWEEP_TRAINER": json.dumps(given)})


def a_trial(root: Path, thorough: bool = False, **options: Any) -> dict[str, Any]:
    """What a trial said of itself."""
    given = {**SMALL, **FEW.get(options.get("data", ""), {}), **options}
    if ":" in given.get("model", ""):  # an own network has neither
        given = {name: value for name, value in given.items() if name not in ("width", "depth")}
    environment = an_environment(root, HYPERSWEEP_CHECKS="all" if thorough else "")
    assert 0 == train({**environment, "HYPERSWEEP_TRAINER": json.dumps(given)})
    result: dict[str, Any] = left(root, "result.json")
    return result


def built(config: Config, data: Data) -> model.Network:
    torch.manual_seed(0)
    return model.build(config.options, data.form)


def first_loss(config: Config, data: Data, change: Callable[[nn.Module], object] = lambda _: None) -> Any:
    network = built(config, data)
    with torch.no_grad():
        change(network)
    return start.first_loss(network, config.options, data, CPU)


def relabelled(data: Data, y: Tensor) -> Data:
    assert isinstance(data.train, Resident)
    return replace(data, train=Resident(data.train.x, y))


# -- gradients


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
        return self[1](hidden)  # type: ignore[no-any-return]


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


# -- the first loss


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"loss": "cross_entropy"}, math.log(10)),
        ({"loss": "bce"}, math.log(2)),
        ({"loss": "hinge"}, 0.9),
        ({"loss": "hinge", "data": "breast_cancer"}, 1.0),
        ({"loss": "focal"}, 0.9**2 * math.log(10)),
        ({"data": "diabetes"}, 1.0),
        ({"data": "markov"}, math.log(28)),
        ({"data": "diabetes", "loss": "mape", "target_norm": "none"}, 1.0),
        ({"data": "wine", "target": "reconstruction"}, 1.0),
    ],
)
def test_a_network_whose_last_layer_is_zero_has_the_loss_of_a_guess(
    options: dict[str, Any], expected: float
) -> None:
    config = a_config(**options)
    found = first_loss(config, load(config, CPU), _without_head)

    assert "ok" == found["verdict"]
    assert pytest.approx(expected, abs=1e-6) == found["expected"]
    assert pytest.approx(expected, abs=1e-6) == found["found"]


def _without_head(network: nn.Module) -> None:
    for parameter in network.get_submodule("head").parameters():
        parameter.zero_()


@pytest.mark.parametrize(("loss", "expected"), [("mse", 1.0), ("mae", 0.798), ("huber", 0.424)])
def test_the_loss_of_a_guess_at_a_normal_target_is_known(loss: str, expected: float) -> None:
    config = a_config(data="synthetic_curve", loss=loss)
    data = load(config, CPU)
    places = (torch.arange(len(data.train)) + 0.5) / len(data.train)
    normal = relabelled(data, torch.special.ndtri(places.double()).float())

    assert pytest.approx(expected, rel=0.02) == start.chance(config.options, normal, CPU)


@pytest.mark.parametrize("name", DATASETS)
def test_first_weights_know_no_more_than_a_guess(name: str) -> None:
    config = a_config(data=name)
    found = first_loss(config, load(config, CPU))

    assert "ok" == found["verdict"]
    assert pytest.approx(found["expected"], rel=0.1) == found["found"]


def test_a_deep_network_with_batch_norm_is_judged_by_the_statistics_of_its_rows() -> None:
    config = a_config(data="diabetes", norm="batch", depth=8)

    assert "fail" != first_loss(config, load(config, CPU))["verdict"]


def test_targets_that_are_not_what_they_should_be_are_found() -> None:
    numbers, classes = a_config(data="diabetes"), a_config(data="digits")
    of_numbers, of_classes = load(numbers, CPU), load(classes, CPU)
    assert isinstance(of_numbers.train, Resident)
    assert isinstance(of_classes.train, Resident)
    shifted = relabelled(of_numbers, of_numbers.train.y + 1)
    counted_from_one = relabelled(of_classes, of_classes.train.y + 1)
    two_of_ten = replace(of_classes, frequencies=(0.5, 0.5))

    for config, data in ((numbers, shifted), (classes, counted_from_one), (classes, two_of_ten)):
        found = first_loss(config, data)
        assert "fail" == found["verdict"]
        assert "look at the labels" in found["words"]


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_a_saturated_last_layer_is_found(name: str) -> None:
    def saturate(network: nn.Module) -> None:
        for parameter in network.get_submodule("head").parameters():
            parameter.mul_(1000)

    config = a_config(data=name)
    found = first_loss(config, load(config, CPU), saturate)

    assert "fail" == found["verdict"]
    assert "last layer" in found["words"]


# -- few rows


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

    def hint(self, order: Tensor) -> None:
        pass


def test_dead_units_are_found() -> None:
    config = a_config(data="wine", model=f"{__name__}:Dead")
    found = Few(config, load(config, CPU), CPU).overfit()

    assert "fail" == found["verdict"]
    assert found["found"] > 0.5


def test_shuffled_targets_are_found() -> None:
    config = a_config(data="wine")
    data = load(config, CPU)
    assert isinstance(data.train, Resident)
    few = Few(config, replace(data, train=Shuffled(data.train)), CPU)
    found = few.overfit()

    assert "fail" == found["verdict"]
    assert "other targets" in found["words"]
    assert {} == few.regularisation()


# -- regularisation


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


# -- inputs


@pytest.mark.parametrize(
    "options", [{"data": "digits", "image_norm": "none"}, {"data": "wine", "num_encoder": "none"}]
)
def test_raw_inputs_are_not_centred(options: dict[str, Any]) -> None:
    config = a_config(**options)
    found = start.zero_mean(config.options, load(config, CPU), CPU)

    assert "fail" == found["verdict"]
    assert "set " in found["words"]


@pytest.mark.parametrize(
    "options",
    [
        {"data": "digits"},
        {"data": "synthetic_images"},
        {"data": "synthetic_table"},
        {"data": "synthetic_table", "num_encoder": "rankgauss"},
        {"data": "synthetic_curve", "num_encoder": "quantile"},
        {"data": "digits", "flip": 0.5},
    ],
)
def test_encoded_inputs_are_centred(options: dict[str, Any]) -> None:
    config = a_config(**options)
    found = start.zero_mean(config.options, load(config, CPU), CPU)

    assert "ok" == found["verdict"]
    assert found["found"] < 0.01


def test_a_single_pixel_has_a_mean_and_no_deviation() -> None:
    config = a_config(data="digits", image_size=1, image_norm="none", subset_fraction=0.001)
    found = start.zero_mean(config.options, load(config, CPU), CPU)

    assert math.isfinite(found["found"])


# -- the gap


def test_the_gap_between_training_and_validation_has_a_name(tmp_path: Path) -> None:
    by_heart = {"subset_fraction": 0.15, "epochs": 40, "batch_size": 8, "lr": 1e-2, "weight_decay": 0.01}
    over = a_trial(tmp_path / "over", data="wine", **by_heart)
    under = a_trial(tmp_path / "under", data="iris", epochs=1, lr=1e-8)

    assert ["hint", "overfit"] == [over["checks"]["gap"]["verdict"], _last(over["checks"]["gap"])]
    assert over["checks"]["gap"]["found"] > 0.5
    assert "underfit?" in under["checks"]["gap"]["words"]
    assert under["checks"]["gap"]["found"] < 0.02


def _last(verdict: dict[str, Any]) -> str:
    return str(verdict["words"]).rpartition(" ")[2]


def test_validation_rows_that_are_easier_than_training_rows_are_a_leak() -> None:
    config = a_config(data="digits", width=16)
    data = load(config, CPU)
    network = built(config, data)
    found = course.gap(network, config.options, data, 1.0, CPU)

    assert "fail" == found["verdict"]
    assert "leak?" in found["words"]


def test_a_run_whose_validation_rows_were_learned_is_told_as_a_leak(tmp_path: Path) -> None:
    """All that validates is a copy of rows that train, beside others whose classes are drawn by lot."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 600)
    parts = split.rows(600, labels, a_config(data="breast_cancer").options, 1.0)
    x = random.standard_normal((600, 4))
    known = parts.train[:100]
    x[known, 0] = 4 * (2 * labels[known] - 1)
    for row in parts.val:
        x[row] = x[random.choice(known[labels[known] == labels[row]])]
    path = tmp_path / "rows.csv"
    path.write_text(
        "a,b,c,d,y\n" + "".join(f"{','.join(map(str, x[row]))},{'mn'[labels[row]]}\n" for row in range(600))
    )
    found = a_trial(tmp_path / "run", data=str(path), epochs=10, lr=1e-2)["checks"]["gap"]

    assert "fail" == found["verdict"], found["words"]
    assert "leak?" in found["words"]


@pytest.mark.parametrize("noise", [{"dropout": 0.8}, {"mixup_alpha": 1.0}])
def test_noise_in_training_is_not_taken_for_a_leak(tmp_path: Path, noise: dict[str, float]) -> None:
    result = a_trial(tmp_path, **noise, lr=3e-3)
    last = rows(tmp_path)[-1]["metrics"]

    assert last["train_loss"] > last["val_loss"]
    assert "fail" != result["checks"]["gap"]["verdict"]


@pytest.mark.parametrize("augmented", [{}, {"random_resized_crop": 0.1}])
def test_the_gap_is_that_of_one_view_of_all_images(augmented: dict[str, float]) -> None:
    """Evaluation of training rows is as if they were validation rows, whatever training sees of them."""
    config = a_config(data="digits", model="cnn", width=4, test_crop=0.6, test_size=10, **augmented)
    data, places = load(config, CPU), torch.arange(0, 1079, 100)
    x, y = sample.judged(data, places)
    raw = read(replace(config.options, task="image", target="classification"))
    train = split.rows(len(raw.labels), raw.labels, config.options, 1.0).train
    assert isinstance(raw.pixels, np.ndarray)
    expected = evaluation(data.encoding, CPU)(torch.from_numpy(raw.pixels[train[places]]))

    assert (11, 1, 10, 10) == x.shape
    torch.testing.assert_close(expected, x)
    assert torch.equal(data.train.take(places)[1], y)


def test_a_text_that_ends_easier_than_it_began_is_no_failure(tmp_path: Path) -> None:
    """Blocks of a text are no rows drawn at random; here it ends with what it said before."""
    source = Path(textwrap.__file__).read_text()[:12_000]
    noise = "".join(map(chr, torch.randint(33, 127, (12_000,), generator=torch.Generator().manual_seed(0))))
    path = tmp_path / "text.txt"
    path.write_text(source + noise + source)
    options = {"data": str(path), "context": 64, "width": 32, "depth": 1, "test_fraction": 0.0, "lr": 1e-2}
    found = a_trial(tmp_path / "run", batch_size=16, **options)["checks"]["gap"]

    assert "hint" == found["verdict"]
    assert "the end of the text" in found["words"]


# -- how a run goes


def test_a_rate_ten_times_too_high_diverges_and_a_thousandth_stalls(tmp_path: Path) -> None:
    plain = {"data": "diabetes", "optimizer": "sgd", "schedule": "constant", "warmup": 0.0, "dropout": 0.0}
    plain |= {"batch_size": 8, "epochs": 6, "momentum": 0.0}
    runs = {rate: a_trial(tmp_path / str(rate), **plain, lr=rate) for rate in (1e-8, 0.03, 0.3)}
    slow, healthy, fast = runs.values()

    assert ["done", "done", "infeasible"] == [run["status"] for run in (slow, healthy, fast)]
    assert ["hint", "ok"] == [run["checks"]["stalled"]["verdict"] for run in (slow, healthy)]
    assert ["ok", "ok", "hint"] == [run["checks"]["diverged"]["verdict"] for run in (slow, healthy, fast)]
    assert fast["reason"].startswith("diverged: train_loss is ") or "is not finite" in fast["reason"]
    assert fast["reason"].removeprefix("diverged: ") == fast["checks"]["diverged"]["words"]


def test_a_loss_above_that_of_the_start_is_a_divergence_once_there_were_some_steps() -> None:
    metrics = {"train_loss": 3.6, "val_loss": 1.0}

    assert "" == check.trouble(metrics, 2.3, 49, 1)
    assert "" == check.trouble({**metrics, "train_loss": 3.4}, 2.3, 1000, 9)
    assert "" == check.trouble(metrics, math.inf, 1000, 9)
    assert check.trouble(metrics, 2.3, 50, 2).startswith(
        "diverged: train_loss is 3.6 after step 50 (epoch 2)"
    )
    assert "val_loss is not finite after step 7 (epoch 1)" == check.trouble(
        {**metrics, "val_loss": math.nan}, 2.3, 7, 1
    )


def test_a_start_that_is_worse_than_a_guess_is_no_divergence() -> None:
    config = a_config(data="digits")
    data = load(config, CPU)

    assert 9.0 == check.start_of(config, data, {"first_loss": {"found": 9.0}}, CPU)
    assert pytest.approx(math.log(10)) == check.start_of(config, data, {"first_loss": {"found": 2.0}}, CPU)
    assert pytest.approx(math.log(10)) == check.start_of(config, data, {}, CPU)


# -- hints


def test_experience_says_what_may_be_better() -> None:
    poor = a_config(
        data="digits", depth=5, residual="off", norm="none", init="kaiming_normal", activation="tanh",
        weight_decay=0.0, schedule="exponential",
    )  # fmt: skip
    other = a_config(
        data="digits", init="xavier_normal", activation="relu", dropout=0.95, schedule="constant"
    )

    assert [
        "init: with activation tanh try xavier, kaiming_normal is made for rectifiers",
        "weight_decay: try some, or dropout, for nothing regularises",
        "norm: try batch for convolutions, layer elsewhere, most networks then learn faster",
        "residual: try on, networks of more than 3 layers then learn better",
        "schedule: rates fall exponentially and their sum is finite, "
        "where Robbins and Monro (1951) ask for the opposite",
    ] == advice(poor)["words"].split("; ")
    assert [
        "init: with activation relu try kaiming, xavier_normal is made for tanh",
        "dropout: try less, or a larger width beside it, 0.95 may underfit",
        "schedule: rates stay above a bound and the sum of their squares is infinite, "
        "where Robbins and Monro (1951) ask for the opposite",
    ] == advice(other)["words"].split("; ")
    assert ["hint", 5] == [advice(poor)["verdict"], advice(poor)["found"]]


@pytest.mark.parametrize("name", DATASETS)
def test_nothing_is_to_be_said_of_the_defaults(name: str) -> None:
    assert "ok" == advice(a_config(data=name))["verdict"]


def test_schedules_that_meet_robbins_and_monro_are_left_alone() -> None:
    inverse = a_config(data="digits", schedule="inverse", inverse_power=1.0)

    assert "ok" == advice(inverse)["verdict"]
    assert "Robbins" in advice(a_config(data="digits", schedule="inverse", inverse_power=0.4))["words"]


def test_statistics_of_other_images_than_the_network_learned_from_are_worth_a_hint() -> None:
    transferred = a_config(data="digits", model="cnn", pretrained="/models/one", image_norm="dataset")

    assert "image_norm: try pretrained" in advice(transferred)["words"]


# -- all of them together


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("mode", ["first", "later"])
def test_no_check_fails_what_the_defaults_make_of_any_data(name: str, mode: str, tmp_path: Path) -> None:
    environment = an_environment(tmp_path, HYPERSWEEP_CHECKS="all" if mode == "first" else "")
    options = {"data": name, "epochs": 3, **FEW.get(name, {}), "subset_fraction": 1.0}
    assert 0 == train({**environment, "HYPERSWEEP_TRAINER": json.dumps(options)})
    checks = left(tmp_path, "result.json")["checks"]

    silent = {"zero_mean"} if name in ("markov", "brackets") else set()
    assert (THOROUGH if mode == "first" else FREE) - silent == set(checks)
    assert "" == check.failed(checks)
    assert not any("could not be made" in verdict["words"] for verdict in checks.values())
    assert all({"verdict", "found", "expected", "words"} == set(verdict) for verdict in checks.values())


def test_a_failed_check_ends_the_first_trial_before_it_trains_where_it_is_asked_to(tmp_path: Path) -> None:
    poor = {"image_norm": "none"}
    stopped = a_trial(tmp_path / "stop", thorough=True, checks="stop", **poor)
    warned = a_trial(tmp_path / "warn", thorough=True, **poor)
    later = a_trial(tmp_path / "later", checks="stop", **poor)

    assert ["infeasible", "done", "done"] == [run["status"] for run in (stopped, warned, later)]
    assert stopped["reason"].startswith("a check failed: zero_mean: the mean of an input is ")
    assert "fail" == stopped["checks"]["zero_mean"]["verdict"]
    assert [] == rows(tmp_path / "stop")
    assert "check failed: zero_mean" in (tmp_path / "warn/attempts/0/log.txt").read_text()


def test_ranks_agree_on_whether_to_go_on(tmp_path: Path) -> None:
    options, port = {"image_norm": "none", "checks": "stop"}, a_port()
    environment = an_environment(tmp_path, options, ranks=2, PET_MASTER_PORT=port, HYPERSWEEP_CHECKS="all")

    assert 0 == run(environment).wait(timeout=120)
    assert "infeasible" == left(tmp_path, "result.json")["status"]
    assert "a check failed: zero_mean" in left(tmp_path, "result.json")["reason"]


def test_a_batch_norm_of_all_ranks_is_looked_at_by_one_alone() -> None:
    config = a_config(norm="batch")
    data = load(config, CPU)
    alone, together = (
        first_loss(config, data, change) for change in (lambda _: None, lambda net: synchronise(net, CPU))
    )

    assert alone["found"] == pytest.approx(together["found"])


def test_checks_can_be_switched_off(tmp_path: Path) -> None:
    assert {} == a_trial(tmp_path, thorough=True, checks="off")["checks"]


class Forgetful(nn.Sequential):
    """A network with a dropout of its own, which draws from the generator that everybody shares."""

    def __init__(self, form: Form) -> None:
        super().__init__(nn.Linear(form.shape[0], 16), nn.Dropout(0.5), nn.Linear(16, form.outputs))


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.3, "norm": "batch", "crop_pad": 1},
        {"data": "wine", "model": f"{__name__}:Forgetful"},
        {"data": "markov", "token_drop": 0.1, "width": 16, "depth": 1, "batch_size": 16},
    ],
)
def test_checks_leave_no_trace_in_the_weights(options: dict[str, Any], tmp_path: Path) -> None:
    a_trial(tmp_path / "with", thorough=True, **options)
    a_trial(tmp_path / "without", checks="off", **options)
    weights = [tmp_path / name / "attempts/0/model/weights.safetensors" for name in ("with", "without")]

    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_checks_read_no_test_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError

    config = replace(a_config(data="digits"), final=True, thorough=True)
    data = load(config, CPU)
    assert data.test is not None
    network, test = built(config, data), data.test
    monkeypatch.setattr(Resident, "take", lambda part, at: forbidden() if part is test else _taken(part, at))
    verdicts = check.before(config, data, network, CPU)

    assert "" == check.failed(verdicts)
    assert THOROUGH - {"diverged", "stalled", "gap"} == set(verdicts)


def _taken(part: Resident, at: Tensor) -> tuple[Tensor, Tensor]:
    return part.x[at], part.y[at]
