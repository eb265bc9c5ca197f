"""First weights have the deviation that their scheme says, and keep signals alive through many layers."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import Network, build
from hypersweep_trainer.options import Options

FORM = Form("tabular", "classification", (256,), 10)
IMAGE = Form("image", "classification", (4, 8, 8), 10)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def weight(init: str, n_in: int = 400, n_out: int = 300, **options: object) -> torch.Tensor:
    form = Form("tabular", "classification", (n_in,), 2)
    network = build(Options(width=n_out, depth=1, init=init, norm="none", **options), form)
    assert init == "torch_default" or not network.body[0].linear.bias.any()
    return network.body[0].linear.weight.detach()


@pytest.mark.parametrize("gain", [1.0, 5 / 3])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_xavier_has_the_deviation_of_its_formula(kind: str, gain: float) -> None:
    drawn = weight(f"xavier_{kind}", init_gain=gain)

    assert drawn.std().item() == pytest.approx(gain * math.sqrt(2 / 700), rel=0.03)
    if kind == "uniform":
        assert drawn.abs().max() <= gain * math.sqrt(6 / 700)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_kaiming_has_the_deviation_of_its_formula(kind: str) -> None:
    drawn = weight(f"kaiming_{kind}", activation="relu")

    assert drawn.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.03)
    if kind == "uniform":
        assert drawn.abs().max() <= math.sqrt(6 / 400)


def test_torch_default_is_uniform_and_left_as_torch_drew_it() -> None:
    torch.manual_seed(4)
    expected = nn.Linear(400, 300).weight
    torch.manual_seed(4)
    drawn = weight("torch_default")

    assert torch.equal(expected, drawn)
    assert drawn.std().item() == pytest.approx(1 / math.sqrt(3 * 400), rel=0.03)


@pytest.mark.parametrize(("n_in", "n_out"), [(400, 300), (300, 400)])
def test_orthogonal_weights_are_orthogonal(n_in: int, n_out: int) -> None:
    drawn = weight("orthogonal", n_in, n_out, init_gain=2.0)
    small = drawn @ drawn.T if n_in > n_out else drawn.T @ drawn

    torch.testing.assert_close(small, 4 * torch.eye(300), atol=1e-4, rtol=0)


def test_truncated_normal_ends_at_two_deviations() -> None:
    drawn = weight("trunc_normal")

    assert drawn.abs().max() <= 0.04
    assert drawn.std().item() == pytest.approx(0.02 * 0.8796, rel=0.03)  # of a normal cut off at 2


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("relu", math.sqrt(2 / 400)), ("gelu", math.sqrt(2 / 400)), ("swish", math.sqrt(2 / 400)),
        ("tanh", math.sqrt(2 / 700)), ("sigmoid", math.sqrt(2 / 700)),
        ("selu", math.sqrt(1 / 400)), ("lecun_tanh", math.sqrt(1 / 400)), ("swiglu", math.sqrt(1 / 400)),
    ],
)  # fmt: skip
def test_auto_goes_by_the_nonlinearity(activation: str, expected: float) -> None:
    drawn = weight("auto", activation=activation)

    assert drawn.std().item() == pytest.approx(expected, rel=0.03)
    assert weight("auto", activation=activation, init_gain=2.0).std().item() == pytest.approx(
        2 * expected, rel=0.03
    )


def test_a_convolutions_fan_counts_the_kernel() -> None:
    network = build(Options(model="cnn", width=64, depth=2, init="kaiming_normal", kernel=5), IMAGE)
    first, second = (part.weight for part in network.modules() if isinstance(part, nn.Conv2d))

    assert first.std().item() == pytest.approx(math.sqrt(2 / (4 * 25)), rel=0.03)
    assert second.std().item() == pytest.approx(math.sqrt(2 / (64 * 25)), rel=0.03)


def deep(**options: object) -> Network:
    options = {"width": 256, "depth": 10, "norm": "none", "residual": "off", **options}
    return build(Options(**options), FORM)


@pytest.mark.parametrize(("gain", "deviation"), [(1.0, 0.23), (5 / 3, 0.65)])
def test_ten_layers_of_tanh_keep_their_signal(gain: float, deviation: float) -> None:
    network = deep(init="xavier_normal", init_gain=gain, activation="tanh")

    assert network.body(torch.randn(1000, 256)).std().item() == pytest.approx(deviation, abs=0.04)


def test_ten_layers_of_relu_keep_their_signal_with_kaiming_alone() -> None:
    rows = torch.randn(1000, 256)

    def square(init: str) -> float:
        return float(deep(init=init, activation="relu").body(rows).square().mean().detach())

    assert 0.3 < square("kaiming_normal") < 3
    assert 0.3 < square("auto") < 3
    assert square("xavier_normal") < 0.01


@pytest.mark.parametrize(
    "options",
    [
        {}, {"norm": "none"}, {"norm": "batch"}, {"activation": "tanh"}, {"activation": "swiglu"},
        {"width": 512, "depth": 8}, {"norm": "none", "depth": 32, "residual": "on"}, {"norm_position": "pre"},
        {"model": "cnn", "width": 16}, {"model": "cnn", "width": 16, "norm": "none", "depth": 6},
    ],
)  # fmt: skip
def test_the_first_loss_is_that_of_a_guess(options: dict[str, object]) -> None:
    network = build(Options(**options), IMAGE)
    loss = cross_entropy(network(torch.randn(500, 4, 8, 8)), torch.arange(500) % 10)

    assert loss.item() == pytest.approx(math.log(10), rel=0.1)


def test_residual_branches_without_norms_do_not_add_up() -> None:
    network = deep(depth=32, residual="on", activation="relu")

    assert 0.3 < network.body(torch.randn(500, 256)).square().mean() < 10
