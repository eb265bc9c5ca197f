"""Transformers: places, heads, norms, tied weights, and what each option changes."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import Network, build
from hypersweep_trainer.model.drop import StochasticDepth
from hypersweep_trainer.model.position import Rotation, turned, waves
from hypersweep_trainer.model.transformer import Attention, Block, Blocks, Patches
from hypersweep_trainer.options import Options, check, resolve

VOCABULARY, CONTEXT, WIDTH = 11, 12, 16
TEXT = Form("sequence", "tokens", (CONTEXT,), VOCABULARY, vocabulary=VOCABULARY)
ROWS = Form("sequence", "classification", (CONTEXT,), 2, vocabulary=VOCABULARY)
IMAGES = Form("image", "classification", (1, 8, 8), 10)
ENCODINGS = ["none", "sincos", "learned", "rope"]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def a_network(form: Form, **given: Any) -> Network:
    data = {TEXT: "markov", ROWS: "brackets"}.get(form, "digits")
    values = {"data": data, "model": "transformer", "width": WIDTH, **given}
    return build(Options(**resolve(values)), form).eval()


def some_tokens(rows: int = 3) -> Tensor:
    return torch.randint(VOCABULARY, (rows, CONTEXT))


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def blocks(network: Network) -> list[Block]:
    assert isinstance(network.body, Blocks)
    return [block for block in network.body.blocks if isinstance(block, Block)]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_size_has_a_closed_form(depth: int) -> None:
    network = a_network(TEXT, depth=depth)
    block = 12 * WIDTH**2 + 12 * WIDTH  # 3 + 1 + 4 + 4 matrices; biases of all but keys, and two norms

    assert depth * block + (VOCABULARY + CONTEXT) * WIDTH + 2 * WIDTH + (WIDTH + 1) * VOCABULARY == size(
        network
    )


@pytest.mark.parametrize(
    ("width", "heads", "pos_enc", "expected"),
    [
        (16, 4, "learned", 4),
        (18, 4, "learned", 4),
        (20, 3, "rope", 6),
        (8, 16, "none", 1),
        (8, 16, "rope", 2),
    ],
)
def test_heads_share_the_width_and_rotations_take_pairs(
    width: int, heads: int, pos_enc: str, expected: int
) -> None:
    network = a_network(TEXT, width=width, heads=heads, pos_enc=pos_enc)

    assert (3 * heads * expected, width) == blocks(network)[0].attention.first.weight.shape
    assert (2, CONTEXT, VOCABULARY) == network(some_tokens(2)).shape


@pytest.mark.parametrize(
    ("ratio", "activation", "wide", "inner"), [(2.0, "gelu", 32, 32), (0.5, "swiglu", 16, 8)]
)
def test_the_second_half_of_a_block_is_a_multiple_of_the_width(
    ratio: float, activation: str, wide: int, inner: int
) -> None:
    mlp = blocks(a_network(TEXT, mlp_ratio=ratio, activation=activation))[0].mlp

    assert [(wide, WIDTH), (WIDTH, inner)] == [
        m.weight.shape for m in mlp.modules() if isinstance(m, nn.Linear)
    ]


def test_next_tokens_are_predicted_from_those_before_alone() -> None:
    network, x = a_network(TEXT), some_tokens()
    changed = x.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % VOCABULARY
    before, after = network(x), network(changed)

    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert (before[:, 7:] - after[:, 7:]).abs().amax() > 1e-3


def test_the_class_of_a_row_depends_on_all_of_its_tokens() -> None:
    network, x = a_network(ROWS), some_tokens(1)
    changed = (x + torch.eye(CONTEXT, dtype=torch.int64)) % VOCABULARY  # another token at each place in turn

    assert ((network(changed) - network(x)).abs().amax(1) > 1e-6).all()


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_torchs_own_whatever_bias_its_keys_have(causal: bool) -> None:
    torch.manual_seed(0)
    ours, x = Attention(Options(width=WIDTH, heads=4), WIDTH // 4, causal), torch.randn(3, CONTEXT, WIDTH)
    theirs = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
    with torch.no_grad():
        ours.bias.normal_()
        of_query, of_value = ours.bias.chunk(2)
        theirs.in_proj_weight.copy_(ours.first.weight)
        theirs.in_proj_bias.copy_(torch.cat([of_query, torch.randn(WIDTH), of_value]))
        theirs.out_proj.load_state_dict(ours.last.state_dict())
    hidden = nn.Transformer.generate_square_subsequent_mask(CONTEXT) if causal else None
    expected, _ = theirs(x, x, x, attn_mask=hidden, need_weights=False)

    torch.testing.assert_close(expected, ours(x, None))


def test_every_bias_of_attention_has_a_gradient_beyond_rounding() -> None:
    network = a_network(ROWS)
    network(some_tokens(8)).square().sum().backward()
    biases = [p for name, p in network.named_parameters() if "attention" in name and name.endswith("bias")]

    assert biases
    assert all(p.grad is not None and float(p.grad.abs().min()) > 1e-7 for p in biases)


# Places


@pytest.mark.parametrize("size", [16, 34])
def test_waves_of_two_places_depend_on_their_distance_alone(size: int) -> None:
    table = waves((100,), size)
    products = (table[:-7] * table[7:]).sum(1)

    assert products.max() - products.min() <= 1e-12
    assert table.dtype == torch.float64
    assert (table @ table.T - size // 2 * torch.eye(100)).fill_diagonal_(0).amax() < size // 2 - 1e-3


def test_waves_of_an_image_depend_on_the_distances_along_both_sides() -> None:
    table = waves((9, 6), 32).view(9, 6, 32)
    products = (table[:-2, :-3] * table[2:, 3:]).sum(2)

    assert products.max() - products.min() <= 1e-12
    torch.testing.assert_close(table[0, :, :8], table[0, :1, :8].expand(6, 8))


def test_waves_are_those_of_the_paper() -> None:
    place, size = 5, 8
    expected = [math.sin(place / 10_000 ** (2 * i / size)) for i in range(4)]

    torch.testing.assert_close(waves((9,), size)[place, :4], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("pos_enc", ENCODINGS)
@pytest.mark.parametrize("form", [ROWS, IMAGES], ids=["text", "images"])
def test_without_an_encoding_of_places_their_order_does_not_matter(form: Form, pos_enc: str) -> None:
    network = a_network(form, pos_enc=pos_enc, init_gain=2.0)
    if form is ROWS:
        x = some_tokens()
        shuffled = x[:, torch.randperm(CONTEXT)]
    else:
        x = torch.randn(3, 1, 8, 8)
        shuffled = x.unflatten(2, (4, 2))[:, :, torch.tensor([2, 0, 3, 1])].flatten(2, 3)
    moved = (network(x) - network(shuffled)).abs().amax()

    assert bool(moved <= 1e-5) == (pos_enc == "none")


@pytest.mark.parametrize(("grid", "size"), [((10,), 16), ((4, 5), 16)])
def test_rotations_are_those_of_timm(grid: tuple[int, ...], size: int) -> None:
    from timm.layers import RotaryEmbedding, apply_rot_embed

    x = torch.randn(2, 3, math.prod(grid), size)
    # timm takes a quarter of `dim` as frequencies, whatever the number of axes
    known = RotaryEmbedding(4 * size // (2 * len(grid)), in_pixels=False, rotate_half=True)
    sines, cosines = known.get_embed(list(grid))

    expected = apply_rot_embed(x, sines, cosines, half=True)
    torch.testing.assert_close(expected, turned(x, Rotation(grid, size)(grid)), atol=2e-6, rtol=0)


def test_rotated_queries_and_keys_see_their_distance_alone() -> None:
    turn = Rotation((30,), 8)((30,))
    query, key = (turned(torch.randn(8).expand(30, 8), turn) for _ in range(2))
    products = (query[:-4] * key[4:]).sum(1)

    assert products.max() - products.min() <= 1e-5
    assert (query * key).sum(1)[0] != pytest.approx(products[0].item(), abs=1e-3)


@pytest.mark.parametrize("pos_enc", ENCODINGS)
def test_one_network_takes_images_of_any_size(pos_enc: str) -> None:
    network = a_network(IMAGES, pos_enc=pos_enc)

    assert (2, 10) == network(torch.randn(2, 1, 8, 8)).shape == network(torch.randn(2, 1, 11, 6)).shape


@pytest.mark.parametrize("pos_enc", ENCODINGS)
def test_a_shorter_text_gets_the_same_places(pos_enc: str) -> None:
    network, x = a_network(TEXT, pos_enc=pos_enc), some_tokens()

    torch.testing.assert_close(network(x)[:, :5], network(x[:, :5]))


def test_patches_keep_all_pixels_and_fill_up_the_rest() -> None:
    x = torch.arange(2 * 3 * 5 * 4, dtype=torch.float32).view(2, 3, 5, 4)
    found = Patches(2)(x)

    assert (2, 3, 2, 12) == found.shape
    torch.testing.assert_close(x[1, :, 2:4, 0:2].flatten(), found[1, 1, 0])
    assert found.sum() == x.sum()


def test_what_follows_from_the_options_is_not_saved() -> None:
    for pos_enc in ("sincos", "rope"):
        assert not [n for n in a_network(TEXT, pos_enc=pos_enc).state_dict() if "place" in n or "turn" in n]


# Tied weights


def test_tied_weights_are_one_and_save_a_matrix() -> None:
    tied, untied = (a_network(TEXT, tie_weights=value) for value in (True, False))

    assert tied.head.weight.data_ptr() == tied.embed.get_submodule("vector").weight.data_ptr()
    assert VOCABULARY * WIDTH == size(untied) - size(tied)


def test_weights_cannot_be_tied_where_outputs_are_classes() -> None:
    (problem,) = check({"data": "brackets", "tie_weights": True}, {})

    assert problem.startswith("tie_weights: needs target tokens or reconstruction")


def test_the_gradient_of_tied_weights_is_the_sum_of_both_uses() -> None:
    tied, untied = (a_network(TEXT, tie_weights=value) for value in (True, False))
    weights = tied.state_dict()
    untied.load_state_dict(weights)
    x, y = some_tokens(), some_tokens()
    for network in (tied, untied):
        functional.cross_entropy(network(x).flatten(0, 1), y.flatten()).backward()

    both = untied.head.weight.grad + untied.embed.get_submodule("vector").weight.grad
    torch.testing.assert_close(both, tied.head.weight.grad)


@pytest.fixture
def _group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("_group")
def test_tied_weights_stay_tied_when_loaded_and_wrapped() -> None:
    network, other = (a_network(TEXT, tie_weights=True) for _ in range(2))
    network.load_state_dict(other.state_dict())
    wrapped = nn.parallel.DistributedDataParallel(network)
    optimizer = torch.optim.SGD(wrapped.parameters(), 0.1)
    wrapped(some_tokens()).square().mean().backward()
    optimizer.step()
    vector = network.embed.get_submodule("vector").weight

    assert network.head.weight.data_ptr() == vector.data_ptr()
    assert not torch.equal(vector, other.head.weight)


# Blocks


@pytest.mark.parametrize("norm", ["none", "layer", "rms", "group"])
@pytest.mark.parametrize("position", ["pre", "post"])
def test_norms_let_no_row_and_no_token_see_another(norm: str, position: str) -> None:
    given: dict[str, Any] = {} if norm == "none" else {"norm_position": position}
    if norm == "group":
        given["norm_groups"] = 2  # of a few channels each: a pair would only tell which one is larger
    network, x = a_network(TEXT, norm=norm, **given), some_tokens()

    torch.testing.assert_close(network(x)[:1], network(x[:1]))
    torch.testing.assert_close(network(x)[:, :1], network(x[:, :1]))
    assert network(x).isfinite().all()


def test_norms_stand_before_each_half_of_a_block_or_after_its_sum() -> None:
    def seen(position: str, place: type[nn.Module]) -> list[Tensor]:
        found: list[Tensor] = []
        network = a_network(TEXT, norm_position=position)
        for module in network.modules():
            if isinstance(module, place):
                module.register_forward_hook(
                    lambda _, given, out: found.append(given[0] if place is Attention else out)
                )
        network(some_tokens())
        return found

    for x in (*seen("pre", Attention), *seen("post", Block)):
        torch.testing.assert_close(x.mean(2), torch.zeros(3, CONTEXT), atol=1e-5, rtol=0)
        torch.testing.assert_close(x.std(2, correction=0), torch.ones(3, CONTEXT), atol=5e-2, rtol=0)


def test_blocks_that_start_as_the_identity_add_nothing() -> None:
    network = a_network(TEXT, zero_init_residual=True, depth=3)
    x = torch.randn(2, CONTEXT, WIDTH)

    for block in blocks(network):
        assert torch.equal(x, block(x, None))


def test_without_residuals_nothing_of_what_came_in_is_added() -> None:
    on, off = (a_network(TEXT, residual=value) for value in ("on", "off"))
    off.load_state_dict(on.state_dict())
    for network in (on, off):
        for block in blocks(network):
            nn.init.zeros_(block.mlp.get_submodule("last").weight)
    x = torch.randn(2, CONTEXT, WIDTH)

    assert blocks(on)[0](x, None).abs().sum() > 1
    assert torch.equal(torch.zeros_like(x), blocks(off)[0](x, None))


def test_stochastic_depth_grows_from_block_to_block() -> None:
    network = a_network(TEXT, depth=4, stochastic_depth=0.4)
    x = some_tokens()

    assert pytest.approx([0.1, 0.2, 0.3, 0.4]) == [
        m.p for m in network.modules() if isinstance(m, StochasticDepth)
    ]
    assert torch.equal(network(x), network(x))
    assert not torch.equal(network.train()(x), network(x))


@pytest.mark.parametrize("place", ["embedding", "attention", "branches"])
def test_dropout_acts_on_embeddings_attention_and_branches(place: str) -> None:
    network, x = a_network(TEXT, dropout=0.5, depth=1), some_tokens()
    assert torch.equal(network(x), network(x))

    block = blocks(network)[0]
    parts = {"embedding": network.body.drop, "attention": block.attention, "branches": block.drop}
    parts[place].train()

    assert not torch.equal(network(x), network(x))


def test_hidden_weights_are_dropped_where_dropconnect_asks_for_it() -> None:
    network, x = a_network(TEXT, dropconnect=0.5), some_tokens()

    assert torch.equal(network(x), network(x))
    assert not torch.equal(network.train()(x), network(x))


def test_rows_blend_after_the_embedding() -> None:
    network, x, other = a_network(ROWS), some_tokens(), some_tokens()

    torch.testing.assert_close(network(x), network(x, other, torch.ones(3)))
    torch.testing.assert_close(network(other), network(x, other, torch.zeros(3)))
    assert (network(x, other, torch.full((3,), 0.5)) - network(x)).abs().amax() > 1e-6


@pytest.mark.parametrize("pos_enc", ENCODINGS)
def test_matrix_products_may_be_computed_in_bf16(pos_enc: str) -> None:
    network, x = a_network(TEXT, pos_enc=pos_enc), some_tokens()
    with torch.autocast("cpu", torch.bfloat16):
        found = network(x)

    torch.testing.assert_close(network(x), found.float(), atol=2e-2, rtol=0)


@pytest.mark.parametrize("tie", [False, True])
def test_the_first_loss_is_that_of_a_guess(tie: bool) -> None:
    network, x, y = a_network(TEXT, tie_weights=tie, depth=6), some_tokens(64), some_tokens(64)
    loss = functional.cross_entropy(network(x).flatten(0, 1), y.flatten())

    assert loss.item() == pytest.approx(math.log(VOCABULARY), abs=0.05)


@pytest.mark.parametrize("pos_enc", ENCODINGS)
def test_it_learns_to_repeat_what_it_saw(pos_enc: str) -> None:
    network = a_network(TEXT, pos_enc=pos_enc, width=32)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    for _ in range(90):
        x = some_tokens(16)
        loss = functional.cross_entropy(network(x)[:, 1:].flatten(0, 1), x[:, :-1].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    # the token before the last one is a question of places
    assert (loss.item() < 0.5) == (pos_enc != "none")
