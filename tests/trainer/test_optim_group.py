"""Groups of parameters have the weight decay and the scale of the rate that options say."""

from typing import Any

import pytest
import torch
from torch import nn

from hypersweep_trainer.optim import optimizer
from hypersweep_trainer.options.training import OPTIMIZERS
from tests.trainer.optimizers import LEVELS, Network, a_stepper, chosen, learn


def described(stepper: torch.optim.Optimizer, network: nn.Module) -> dict[str, tuple[float, float]]:
    """Weight decay and scale of each parameter, by name."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {
        names[id(parameter)]: (group["weight_decay"], group["scale"])
        for group in stepper.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in ("rprop", "muon")])
def test_weight_decay_spares_biases_and_norms_unless_asked(name: str) -> None:
    network = Network()
    spared = described(a_stepper(network, name, weight_decay=0.5), network)
    pulled = described(a_stepper(network, name, weight_decay=0.5, decay_bias_norm=True), network)

    assert {key: (0.5 if value.ndim > 1 else 0.0, 1.0) for key, value in network.named_parameters()} == spared
    assert dict.fromkeys(LEVELS, (0.5, 1.0)) == pulled


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 2),
        ({"weight_decay": 0.0}, 1),
        ({"decay_bias_norm": True}, 1),
        ({"layer_lr_decay": 0.5, "weight_decay": 0.0}, 3),
        ({"head_lr_mult": 10.0}, 4),
    ],
)
def test_there_are_no_more_groups_than_needed(options: dict[str, Any], count: int) -> None:
    assert count == len(a_stepper(Network(), "adamw", **options).param_groups)


def test_rates_fall_layer_by_layer_and_the_head_has_its_own() -> None:
    network = Network()
    found = described(
        a_stepper(network, "adamw", weight_decay=0.0, layer_lr_decay=0.5, head_lr_mult=3.0), network
    )

    assert {name: (0.0, {0: 0.25, 1: 0.5, 2: 3.0}[level]) for name, level in LEVELS.items()} == found


class Layered(nn.Sequential):
    """Tells timm which layers it has: a stem, one block, and a head."""

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        return {"stem": r"^0", "blocks": r"^(1)"}


def test_layer_decay_agrees_with_timm() -> None:
    from timm.optim import param_groups_layer_decay

    network = Layered(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    levels = {name: int(name[0]) for name, _ in network.named_parameters()}
    expected = {
        id(parameter): group["lr_scale"]
        for group in param_groups_layer_decay(network, weight_decay=0.0, layer_decay=0.75)
        for parameter in group["params"]
    }
    stepper = optimizer(chosen("adamw", layer_lr_decay=0.75), network, levels)

    for group in stepper.param_groups:
        for parameter in group["params"]:
            assert expected[id(parameter)] == pytest.approx(group["scale"])
    assert {1.0, 0.75, 0.5625} == {group["scale"] for group in stepper.param_groups}


def test_what_is_frozen_has_no_place_in_the_optimizer() -> None:
    network = Network()
    network.embed.requires_grad_(False)
    stepper = a_stepper(network, "adamw")
    learn(network, stepper, 0.1)

    assert "embed.weight" not in described(stepper, network)
    assert network.embed.weight not in stepper.state
