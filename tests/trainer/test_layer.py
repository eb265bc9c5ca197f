"""Each layer computes what its formula says, and its gradient is the one of that formula."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hypersweep_trainer.model import layer
from hypersweep_trainer.model.activation import Swish
from hypersweep_trainer.options import Options

VALUES = {  # at -1, 0 and 1, from the definitions
    "relu": (0.0, 0.0, 1.0),
    "gelu": (-0.158655, 0.0, 0.841345),
    "silu": (-0.268941, 0.0, 0.731059),
    "swish": (-0.268941, 0.0, 0.731059),
    "mish": (-0.303401, 0.0, 0.865098),
    "leaky_relu": (-0.01, 0.0, 1.0),
    "elu": (-0.632121, 0.0, 1.0),
    "selu": (-1.111331, 0.0, 1.050701),
    "tanh": (-0.761594, 0.0, 0.761594),
    "lecun_tanh": (-0.999997, 0.0, 0.999997),
    "sigmoid": (0.268941, 0.5, 0.731059),
}
GATES = {  # of 1 by -1, 0 and 1
    "glu": (0.268941, 0.5, 0.731059),
    "geglu": (-0.158655, 0.0, 0.841345),
    "swiglu": (-0.268941, 0.0, 0.731059),
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


# nonlinearities


@pytest.mark.parametrize("name", VALUES)
def test_a_nonlinearity_has_its_known_values(name: str) -> None:
    values = layer.activation(name)(torch.tensor([-1.0, 0.0, 1.0]))

    assert values.tolist() == pytest.approx(VALUES[name], abs=1e-6)
    assert not layer.gated(name)


@pytest.mark.parametrize("name", GATES)
def test_a_gate_multiplies_the_first_half_by_a_function_of_the_second(name: str) -> None:
    gates = torch.tensor([-1.0, 0.0, 1.0])
    rows = torch.cat((torch.full((3,), 2.0), gates))

    assert layer.activation(name)(rows).tolist() == pytest.approx(
        [2 * value for value in GATES[name]], abs=1e-6
    )
    assert layer.gated(name)


def test_the_gates_are_those_of_torch_and_timm() -> None:
    from timm.layers import GluMlp

    rows, maps = torch.randn(4, 6), torch.randn(2, 6, 3, 3)
    theirs = GluMlp(5, hidden_features=6, act_layer=nn.SiLU, gate_last=True)
    ours = nn.Sequential(theirs.fc1, layer.activation("swiglu"), theirs.fc2)
    inputs = torch.randn(4, 5)

    assert torch.equal(nn.GLU()(rows), layer.activation("glu")(rows))
    assert torch.equal(nn.GLU(1)(maps), layer.activation("glu", 1)(maps))
    torch.testing.assert_close(theirs(inputs), ours(inputs))


def test_the_swish_learns_its_slope() -> None:
    swish = Swish()
    swish(torch.tensor([1.0])).backward()

    assert swish.beta.grad.item() == pytest.approx(0.196612, abs=1e-6)  # x² s(x) (1 - s(x)) at 1
    with torch.no_grad():
        swish.beta.fill_(0)
    assert swish(torch.tensor([3.0])).item() == 1.5


# norms


SHAPES = {"flat": (8, 6), "map": (8, 6, 5, 4), "line": (8, 6, 5), "token": (8, 5, 6)}


def normed(name: str, shape: str, groups: int = 3) -> tuple[nn.Module, Tensor]:
    options = Options(norm=name, norm_groups=groups)
    kind = "map" if shape == "line" else shape
    return layer.norm(options, 6, kind, 1 if shape == "line" else 2), 3 + 2 * torch.randn(SHAPES[shape])


@pytest.mark.parametrize("shape", ["flat", "map", "line"])
def test_batch_norm_gives_each_channel_mean_0_and_deviation_1(shape: str) -> None:
    norm, rows = normed("batch", shape)
    channels = norm(rows).transpose(0, 1).flatten(1)

    torch.testing.assert_close(channels.mean(1), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(channels.std(1, correction=0), torch.ones(6), atol=1e-3, rtol=0)


def test_batch_norm_refuses_a_single_row() -> None:
    norm, rows = normed("batch", "flat")

    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm(rows[:1])


@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm_is_over_the_channels_of_a_row_and_over_all_of_a_map(shape: str) -> None:
    norm, rows = normed("layer", shape)
    result = norm(rows)
    result = result.flatten(0, 1) if shape == "token" else result.flatten(1)

    torch.testing.assert_close(result.mean(1), torch.zeros(len(result)), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std(1, correction=0), torch.ones(len(result)), atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_group_norm_is_over_groups_of_channels(shape: str) -> None:
    norm, rows = normed("group", shape)
    result = norm(rows).flatten(0, 1) if shape == "token" else norm(rows)
    groups = result.unflatten(1, (3, 2)).flatten(2)

    torch.testing.assert_close(groups.mean(2), torch.zeros(len(groups), 3), atol=1e-5, rtol=0)
    assert (groups.std(2, correction=0) > 0.9).float().mean() > 0.9


@pytest.mark.parametrize(
    ("channels", "wanted", "groups", "maps"),
    [(16, 3, 2, 2), (12, 8, 6, 6), (8, 8, 4, 8), (7, 8, 1, 7), (9, 3, 3, 3), (6, 6, 3, 6), (96, 8, 8, 8)],
)
def test_groups_divide_the_channels_and_hold_two_at_least(
    channels: int, wanted: int, groups: int, maps: int
) -> None:
    options = Options(norm="group", norm_groups=wanted)

    assert groups == layer.norm(options, channels, "flat").num_groups
    assert groups == layer.norm(options, channels, "token").num_groups
    assert maps == layer.norm(options, channels, "map").num_groups


@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm_gives_each_points_channels_mean_square_1(shape: str) -> None:
    norm, rows = normed("rms", shape)
    dim = -1 if shape in ("flat", "token") else 1
    squares = norm(rows).square().mean(dim)

    torch.testing.assert_close(squares, torch.ones_like(squares), atol=1e-4, rtol=0)
    expected = nn.RMSNorm(6, eps=1e-6)(rows.movedim(dim, -1)).movedim(-1, dim)
    torch.testing.assert_close(expected, norm(rows))


@pytest.mark.parametrize("name", ["layer", "group", "rms"])
@pytest.mark.parametrize("shape", ["flat", "map", "token"])
def test_norms_take_rows_of_half_precision(name: str, shape: str) -> None:
    norm, rows = normed(name, shape)
    exact = norm(rows)
    with torch.autocast("cpu", torch.bfloat16):
        half = norm(rows.bfloat16())
    half.float().square().sum().backward()

    torch.testing.assert_close(half.float(), exact, atol=0.05, rtol=0.05)
    assert norm.weight.grad.dtype == torch.float32


# noise


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_sets_a_share_to_zero_and_keeps_the_mean(p: float) -> None:
    drop = layer.dropout(Options(dropout=p))
    ones = torch.ones(400_000)

    assert (drop(ones) == 0).float().mean().item() == pytest.approx(p, abs=0.01)
    assert drop(ones).mean().item() == pytest.approx(1, rel=0.01)
    assert torch.equal(ones, drop.eval()(ones))


@pytest.mark.parametrize(("scale", "deviation"), [("mean", 1.41), ("std", 0.997)])
@pytest.mark.parametrize("spatial", [False, True])
def test_dropout_keeps_the_mean_or_the_deviation(scale: str, deviation: float, spatial: bool) -> None:
    drop = layer.dropout(Options(dropout=0.5, dropout_scale=scale), spatial)
    rows = torch.randn(2000, 100, 2)
    result = drop(rows)

    assert result.std().item() == pytest.approx(deviation, abs=0.01)
    assert torch.equal(rows, drop.eval()(rows))
    kept = result != 0
    assert torch.equal(kept[..., 0], kept[..., 1]) == spatial


@pytest.mark.parametrize("spatial", [False, True])
def test_alpha_dropout_keeps_mean_and_deviation_where_selu_needs_it(spatial: bool) -> None:
    drop = layer.dropout(Options(dropout=0.2, dropout_scale="alpha", activation="selu"), spatial)
    result = drop(torch.randn(400, 500, 2))

    assert result.mean().item() == pytest.approx(0, abs=0.02)
    assert result.std().item() == pytest.approx(1, abs=0.02)


def test_without_dropout_there_is_no_layer() -> None:
    assert isinstance(layer.dropout(Options()), nn.Identity)
    assert type(layer.linear(Options(), 2, 3)) is nn.Linear
    assert type(layer.conv(Options(), 2, 3, 5)) is nn.Conv2d


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_stochastic_depth_drops_whole_rows_as_torchvisions_does(p: float) -> None:
    from torchvision.ops import StochasticDepth

    ones = torch.ones(20_000, 2, 3)
    for drop in (layer.StochasticDepth(p), StochasticDepth(p, "row")):
        rows = drop(ones).flatten(1)
        kept = rows[:, 0] > 0
        assert kept.float().mean().item() == pytest.approx(1 - p, abs=0.02)
        torch.testing.assert_close(rows, kept[:, None] * torch.full_like(rows, 1 / (1 - p)))
        assert torch.equal(ones, drop.eval()(ones))


def test_a_branch_that_is_always_dropped_leaves_the_skip_connection() -> None:
    block = layer.Residual(nn.Linear(4, 4), p=1.0)
    rows = torch.randn(5, 4)

    assert torch.equal(rows, block(rows))
    assert not torch.equal(rows, block.eval()(rows))


CONNECTED: dict[str, tuple[Callable[[Options], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda options: layer.linear(options, 64, 50), (4, 64)),
    "conv1d": (lambda options: layer.conv(options, 16, 8, 3, dims=1), (4, 16, 9)),
    "conv2d": (lambda options: layer.conv(options, 16, 8, 4), (4, 16, 5, 5)),
}


@pytest.mark.parametrize("kind", CONNECTED)
def test_dropconnect_drops_other_weights_in_every_step_and_keeps_the_mean(kind: str) -> None:
    make, shape = CONNECTED[kind]
    connect = make(Options(dropconnect=0.3))
    with torch.no_grad():
        connect.weight.abs_()
    before = connect.weight.clone()
    rows = torch.rand(shape)
    mean = sum(connect(rows).detach() for _ in range(2000)) / 2000
    draws = connect(rows), connect(rows)

    assert not torch.equal(*draws)
    assert torch.equal(before, connect.weight)
    exact = connect.eval()(rows)
    assert mean.sum().item() == pytest.approx(exact.sum().item(), rel=0.01)
    twin = make(Options())  # without DropConnect
    twin.load_state_dict(connect.state_dict())
    assert torch.equal(exact, twin(rows))


def test_dropconnects_mask_is_on_the_weights() -> None:
    connect = layer.linear(Options(dropconnect=0.3), 300, 300)
    nn.init.zeros_(connect.bias)
    weights = connect(torch.eye(300)).T  # what each input alone gives: the weights as they were masked
    kept = weights != 0

    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.01)
    torch.testing.assert_close(weights[kept], connect.weight[kept] / 0.7)


def test_noise_comes_from_the_default_generator_alone() -> None:
    options = Options(dropout=0.5, dropconnect=0.5)
    net = nn.Sequential(
        layer.linear(options, 8, 8), layer.dropout(options), layer.Residual(nn.Linear(8, 8), p=0.5)
    )
    rows = torch.randn(16, 8)

    def drawn(seed: int) -> Tensor:
        torch.default_generator.manual_seed(seed)
        return net(rows)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
