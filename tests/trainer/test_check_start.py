"""The checks of a start: the first loss is that of a guess, and inputs are centred."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hypersweep_trainer.check import start
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data, load
from hypersweep_trainer.data.raw import Resident
from hypersweep_trainer.model.sync import synchronise
from hypersweep_trainer.options import DATASETS
from tests.trainer.checking import CPU, a_config, built


def first_loss(config: Config, data: Data, change: Callable[[nn.Module], object] = lambda _: None) -> Any:
    network = built(config, data)
    with torch.no_grad():
        change(network)
    return start.first_loss(network, config.options, data, CPU)


def relabelled(data: Data, y: Tensor) -> Data:
    assert isinstance(data.train, Resident)
    return replace(data, train=Resident(data.train.x, y))


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


@pytest.mark.parametrize(
    ("options", "place", "name"),
    [
        ({"data": "wine"}, 2, "column ash"),
        ({"data": "synthetic_images"}, 1, "channel 2"),
        ({"data": "synthetic_table"}, 1, "column income"),
        ({"data": "synthetic_table", "cat_encoder": "target"}, 7 + 3 + 2, "column region"),
        ({"data": "synthetic_table", "target": "reconstruction"}, 7 + 5, "column region"),
    ],
)
def test_an_input_that_is_not_centred_is_named(options: dict[str, Any], place: int, name: str) -> None:
    config = a_config(**options)
    found = start.zero_mean(config.options, _shifted(load(config, CPU), place), CPU)

    assert found["words"].startswith(f"the mean of {name} is ")


def _shifted(data: Data, place: int) -> Data:
    """One input, and no flag, far off from 0."""
    assert isinstance(data.train, Resident)
    x = data.train.x.clone()
    x[:, place] += 1e3 + torch.linspace(0, 1, len(x)).view(-1, *[1] * (x.ndim - 2))
    return replace(data, train=Resident(x, data.train.y))


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ("quantile", "with num_encoder quantile: try rankgauss or standard"),
        ("rankgauss", "with num_encoder rankgauss: try standard"),
        ("standard", "with num_encoder standard"),
    ],
)
def test_an_encoder_that_centres_most_columns_is_no_fault(encoder: str, words: str) -> None:
    config = a_config(data="wine", num_encoder=encoder)
    found = start.zero_mean(config.options, _shifted(load(config, CPU), 2), CPU)

    assert "hint" == found["verdict"]
    assert found["words"].endswith(f" deviations off from 0 {words}")


@pytest.mark.parametrize(
    ("encoder", "verdict"), [("quantile", "hint"), ("rankgauss", "ok"), ("standard", "ok")]
)
def test_a_column_of_which_most_is_0_fails_no_encoder(encoder: str, verdict: str, tmp_path: Path) -> None:
    spent = "".join(f"{row},{max(row % 30 - 26, 0)},{'ab'[row % 2]}\n" for row in range(300))
    (tmp_path / "shop.csv").write_text(f"visit,spent,y\n{spent}")
    config = a_config(data=f"{tmp_path}/shop.csv", num_encoder=encoder)
    found = start.zero_mean(config.options, load(config, CPU), CPU)

    assert verdict == found["verdict"]
    assert verdict == "ok" or "column spent" in found["words"]


def test_a_single_pixel_has_a_mean_and_no_deviation() -> None:
    config = a_config(data="digits", image_size=1, image_norm="none", subset_fraction=0.001)
    found = start.zero_mean(config.options, load(config, CPU), CPU)

    assert math.isfinite(found["found"])


def test_a_batch_norm_of_all_ranks_is_looked_at_by_one_alone() -> None:
    config = a_config(norm="batch")
    data = load(config, CPU)
    alone, together = (
        first_loss(config, data, change) for change in (lambda _: None, lambda net: synchronise(net, CPU))
    )

    assert alone["found"] == pytest.approx(together["found"])
