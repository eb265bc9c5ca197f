"""Networks have the sizes that their options say, take every kind of row and end in bare linear outputs."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import build, levels
from hypersweep_trainer.model.layer import Residual
from hypersweep_trainer.options import Options, check
from tests.trainer.reach import size

IMAGE = Form("image", "classification", (1, 8, 8), 10)
TABLE = Form("tabular", "classification", (30,), 2)
MIXED = Form("tabular", "classification", (5,), 3, numbers=3, categories=(4, 11))
TEXT = Form("sequence", "classification", (16,), 2, vocabulary=9)
NUMBER = Form("tabular", "regression", (30,), 1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def linears(network: nn.Module) -> list[tuple[int, int]]:
    return [
        (part.in_features, part.out_features) for part in network.modules() if isinstance(part, nn.Linear)
    ]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_size_of_fully_connected_layers_has_a_closed_form_linear_in_the_depth(depth: int) -> None:
    network = build(Options(width=16, depth=depth, norm="none", residual="off"), IMAGE)

    assert (64 + 1) * 16 + (depth - 1) * 17 * 16 + 17 * 10 == size(network)
    assert depth == len(network.body)


def test_hidden_layers_may_be_given_one_by_one() -> None:
    network = build(Options(hidden=(32, 8), norm="none"), TABLE)

    assert [(30, 32), (32, 8), (8, 2)] == linears(network)


@pytest.mark.parametrize("activation", ["glu", "geglu", "swiglu"])
def test_a_gate_doubles_the_layers_before_it_and_nothing_else(activation: str) -> None:
    network = build(Options(hidden=(32, 8), activation=activation), TABLE)

    assert [(30, 64), (32, 16), (8, 2)] == linears(network)
    assert (4, 2) == network(torch.randn(4, 30)).shape


@pytest.mark.parametrize(
    ("model", "form"),
    [
        ("mlp", IMAGE),
        ("mlp", TABLE),
        ("mlp", MIXED),
        ("mlp", NUMBER),
        ("cnn", IMAGE),
        ("cnn", TEXT),
        ("transformer", IMAGE),
        ("transformer", TEXT),
    ],
)
@pytest.mark.parametrize("position", ["pre", "post"])
def test_networks_end_in_bare_linear_outputs(model: str, form: Form, position: str) -> None:
    network = build(Options(model=model, norm_position=position, depth=4, dropout=0.1), form)
    rows = torch.ones(6, *form.shape, dtype=torch.int64 if form is TEXT else torch.float32)
    logits = network(rows)

    assert (6, form.outputs) == logits.shape
    assert isinstance(list(network.modules())[-1], nn.Linear)
    assert type(network.head) is nn.Linear
    assert torch.equal(logits.argmax(1), (7 * logits).argmax(1))


def test_a_plain_network_computes_what_its_layers_do_one_after_the_other() -> None:
    network = build(Options(width=128, depth=1), TABLE)
    first, second = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    norm = next(layer for layer in network.modules() if isinstance(layer, nn.LayerNorm))
    rows = torch.randn(5, 30)

    assert torch.equal(nn.Sequential(first, norm, nn.GELU(), second)(rows), network(rows))


def test_equal_seeds_give_equal_weights() -> None:
    def drawn(seed: int) -> dict[str, torch.Tensor]:
        torch.default_generator.manual_seed(seed)
        return build(Options(), MIXED).state_dict()

    one, same, other = drawn(1), drawn(1), drawn(2)

    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


# residual blocks


@pytest.mark.parametrize(("depth", "count"), [(3, 0), (4, 4)])
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_networks_of_more_than_three_blocks_are_residual(model: str, depth: int, count: int) -> None:
    def found(residual: str) -> int:
        network = build(Options(model=model, width=4, depth=depth, residual=residual), IMAGE)
        return sum(isinstance(part, Residual) for part in network.modules())

    assert (found("auto"), found("on"), found("off")) == (count, depth, 0)


def test_a_skip_connection_is_projected_where_the_shape_changes() -> None:
    network = build(Options(hidden=(30, 8, 8), residual="on"), TABLE)

    skips = [block.skip for block in network.body]
    assert skips[0] is None
    assert skips[2] is None
    assert (30, 8) == (skips[1].in_features, skips[1].out_features)


def test_skip_connections_keep_the_gradient_of_the_first_of_twenty_layers() -> None:
    def gradient(residual: str) -> float:
        torch.manual_seed(1)
        options = Options(
            width=64, depth=20, activation="relu", norm="none", init="torch_default", residual=residual
        )
        network = build(options, IMAGE)
        torch.nn.functional.cross_entropy(network(torch.randn(64, 1, 8, 8)), torch.arange(64) % 10).backward()
        return float(
            next(p.grad.norm() for name, p in network.named_parameters() if name.endswith("linear.weight"))
        )

    assert gradient("on") > 10 * gradient("off")


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "geglu"])
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_residual_blocks_that_start_at_zero_are_the_identity_and_learn(model: str, activation: str) -> None:
    options = Options(
        model=model, width=8, depth=3, activation=activation, downsample="none",
        residual="on", zero_init_residual=True,
    )  # fmt: skip
    network = build(options, IMAGE)
    block = network.body[1]
    hidden = torch.randn(4, 8) if model == "mlp" else torch.randn(4, 8, 8, 8)
    block(hidden).square().sum().backward()

    assert torch.equal(hidden, block(hidden))
    assert block.scale.grad.abs() > 0


def test_the_chance_to_skip_a_block_grows_with_its_number() -> None:
    options = Options(width=8, depth=4, residual="on", stochastic_depth=0.2)
    for model in ("mlp", "cnn"):
        network = build(replace(options, model=model), IMAGE)
        blocks = [part for part in network.modules() if isinstance(part, Residual)]

        assert [block.drop.p for block in blocks] == pytest.approx([0.05, 0.1, 0.15, 0.2])


def test_blocks_cannot_be_skipped_without_a_skip_connection() -> None:
    (problem,) = check({"data": "digits", "stochastic_depth": 0.1, "residual": "off"}, {})

    assert problem.startswith("stochastic_depth:")


# norms


@pytest.mark.parametrize("model", ["mlp", "cnn"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "group", "rms"])
@pytest.mark.parametrize("position", ["pre", "post"])
def test_the_norm_is_the_one_asked_for(model: str, norm: str, position: str) -> None:
    options = Options(model=model, norm=norm, norm_position=position, depth=2, dropout=0.1)
    network = build(options, IMAGE)
    kinds = {
        "batch": ("BatchNorm1d", "BatchNorm2d"), "layer": ("LayerNorm", "GroupNorm"), "group": ("GroupNorm",),
        "rms": ("RMSNorm", "MapRMSNorm"), "none": (),
    }  # fmt: skip
    found = [type(part).__name__ for part in network.modules() if "Norm" in type(part).__name__]

    assert len(found) == (0 if norm == "none" else 2)
    assert set(found) <= set(kinds[norm])


def test_with_pre_every_layer_but_the_first_takes_rows_of_mean_0_and_deviation_1() -> None:
    network = build(Options(norm="layer", norm_position="pre", width=64, depth=4), TABLE)
    seen: list[torch.Tensor] = []
    inner = [
        part for name, part in network.named_modules() if isinstance(part, nn.Linear) and "skip" not in name
    ]
    for part in inner[1:]:
        part.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    network(torch.randn(16, 30))

    assert len(seen) == 4
    for rows in seen:
        torch.testing.assert_close(rows.mean(1), torch.zeros(16), atol=1e-5, rtol=0)
        torch.testing.assert_close(rows.std(1, correction=0), torch.ones(16), atol=1e-3, rtol=0)


@pytest.mark.parametrize("norm", ["layer", "group", "rms"])
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_norms_of_single_rows_let_no_row_see_another(model: str, norm: str) -> None:
    network = build(Options(model=model, norm=norm), IMAGE)
    rows = torch.randn(3, 1, 8, 8)

    torch.testing.assert_close(network(rows)[:1], network(rows[:1]))


def test_batch_norm_can_be_spread_over_ranks() -> None:
    network = nn.SyncBatchNorm.convert_sync_batchnorm(build(Options(norm="batch", depth=3), IMAGE))

    assert sum(isinstance(part, nn.SyncBatchNorm) for part in network.modules()) == 3


def test_a_norm_over_a_single_unit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^norm: layer needs layers of at least 2 units, but found 1"):
        build(Options(width=1), TABLE)


# outputs


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_a_sigmoid_holds_predictions_in_their_range(scale: float) -> None:
    form = Form("tabular", "regression", (30,), 1, bounds=(-0.5, 3.0))
    network = build(Options(init="torch_default"), form)
    with torch.no_grad():
        network.head.weight *= scale
    output = network(torch.randn(200, 30))
    output.sum().backward()

    assert output.min() >= -0.5
    assert output.max() <= 3.0
    assert output.max() - output.min() > (3.4 if scale > 1 else 0.1)
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    assert isinstance(network.head, nn.Linear)


def test_an_output_range_needs_numbers_to_predict() -> None:
    (problem,) = check({"data": "digits", "output_range": [0, 1]}, {})

    assert problem.startswith("output_range:")


# levels


@pytest.mark.parametrize("options", [{}, {"norm_position": "pre"}, {"model": "cnn", "aspp_rates": (1, 2)}])
def test_every_block_is_a_level_of_its_own(options: dict[str, object]) -> None:
    network = build(Options(width=4, depth=4, **options), IMAGE)
    found = levels(network)
    blocks = 4 + ("aspp_rates" in options)

    assert set(found) == {name for name, _ in network.named_parameters()}
    assert set(range(1, blocks + 2)) == set(found.values())
    assert all(level == int(name.split(".")[1]) + 1 for name, level in found.items() if name[5].isdigit())
    assert found["head.weight"] == blocks + 1
