"""Networks have the sizes that their options say and end in bare linear outputs."""

import pytest
import torch
from torch import nn

from hypersweep_trainer.model import build
from hypersweep_trainer.options import Options


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_size_of_fully_connected_layers_has_a_closed_form(depth: int) -> None:
    network = build(Options(width=16, depth=depth, norm="none"), (1, 8, 8), 10)

    assert (64 + 1) * 16 + (depth - 1) * 17 * 16 + 17 * 10 == size(network)


def test_hidden_layers_may_be_given_one_by_one() -> None:
    network = build(Options(hidden=(32, 8), norm="none"), (30,), 2)

    assert [(30, 32), (32, 8), (8, 2)] == [
        (layer.in_features, layer.out_features) for layer in network.modules() if isinstance(layer, nn.Linear)
    ]


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 2, 5)])
def test_convolutions_fit_images_of_any_size(depth: int, shape: tuple[int, int, int]) -> None:
    network = build(Options(model="cnn", width=4, depth=depth), shape, 7)

    assert (2, 7) == network(torch.zeros(2, *shape)).shape
    assert depth == sum(isinstance(layer, nn.Conv2d) for layer in network.modules())


@pytest.mark.parametrize("model", ["mlp", "cnn"])
@pytest.mark.parametrize(
    ("norm", "kinds"),
    [
        ("none", set()),
        ("batch", {nn.BatchNorm1d, nn.BatchNorm2d}),
        ("layer", {nn.LayerNorm, nn.GroupNorm}),
    ],
)
def test_the_norm_is_the_one_asked_for(model: str, norm: str, kinds: set[type[nn.Module]]) -> None:
    network = build(Options(model=model, norm=norm, dropout=0.1), (1, 8, 8), 3)
    known = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
    found = {type(layer) for layer in network.modules() if isinstance(layer, known)}

    assert found <= kinds
    assert bool(found) == bool(kinds)
    assert isinstance(list(network.modules())[-1], nn.Linear)


def test_layer_norm_lets_no_row_see_another() -> None:
    network = build(Options(norm="layer"), (4,), 2)
    rows = torch.randn(3, 4)

    torch.testing.assert_close(network(rows)[:1], network(rows[:1]))
