"""The first stage: what it hides, what it asks for, and that the second one begins with what it learned."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersweep_trainer.batch import Batch
from hypersweep_trainer.form import Form
from hypersweep_trainer.model import Network, build
from hypersweep_trainer.model.pretrain import UNASKED, Stage, scattered, second, stage
from hypersweep_trainer.options import Options

CPU = torch.device("cpu")
TABLE = Form("tabular", "classification", (6,), 2, numbers=4, categories=(3, 5))
NUMBERS = Form("tabular", "classification", (24,), 2, numbers=24)
IMAGES = Form("image", "classification", (2, 7, 6), 3)
TEXT = Form("sequence", "classification", (10,), 2, vocabulary=8)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def a_stage(form: Form, pretrain: str = "masked", **given: Any) -> Stage:
    model = "transformer" if form.task == "sequence" else "mlp"
    options = Options(
        **{"model": model, "pretrain": pretrain, "mask_fraction": 0.3, "norm_position": "pre", **given}
    )
    return stage(options, form, lambda x: x, CPU)


def rows_of(form: Form, count: int = 40) -> Tensor:
    if form.task == "sequence":
        return torch.randint(1, form.vocabulary, (count, *form.shape))
    x = torch.randn(count, *form.shape)
    for column, codes in enumerate(form.categories, form.numbers):
        x[:, column] = torch.randint(1, codes, (count,)).float()
    return x


def a_batch(found: Stage, x: Tensor, seed: int = 1) -> Batch:
    rows = torch.arange(len(x))
    return found.batches(lambda r: (x[r], r), rows, slice(0, len(x)), seed)


def test_as_many_places_are_hidden_in_each_row_and_others_with_each_seed() -> None:
    generator = torch.Generator().manual_seed(3)
    first, again = (scattered((200, 4, 5), 0.3, generator) for _ in range(2))

    assert [6] == first.flatten(1).sum(1).unique().tolist()
    assert first.float().mean(0).sub(0.3).abs().max() < 0.15
    assert not torch.equal(first, again)
    assert [1] == scattered((9, 4), 0.01, generator).sum(1).unique().tolist()


def test_hidden_columns_are_empty_and_alone_asked_for() -> None:
    x = rows_of(TABLE)
    batch = a_batch(a_stage(TABLE), x)
    hidden = batch.x != x
    asked = ~batch.y.isnan()

    assert {2} == set(hidden.sum(1).tolist())
    assert (batch.x[hidden] == 0).all()
    assert torch.equal(hidden.repeat_interleave(torch.tensor([1, 1, 1, 1, 2, 4]), 1), asked)
    assert torch.equal(x[:, :4][hidden[:, :4]], batch.y[:, :4][asked[:, :4]])
    assert torch.equal(torch.eye(4)[x[hidden[:, 5], 5].long() - 1], batch.y[hidden[:, 5], 6:])


@pytest.mark.parametrize(("model", "side"), [("mlp", 1), ("transformer", 2)])
def test_hidden_pixels_are_black_in_all_channels_patch_by_patch(model: str, side: int) -> None:
    x = rows_of(IMAGES)
    batch = a_batch(a_stage(IMAGES, model=model, patch=2), x)
    hidden = batch.x == 0

    assert torch.equal(hidden, ~batch.y.isnan())
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    assert torch.equal(x[hidden], batch.y[hidden])
    assert torch.equal(
        hidden[:, :, ::side, ::side].repeat_interleave(side, 2).repeat_interleave(side, 3)[:, :, :7], hidden
    )
    assert hidden.float().mean() == pytest.approx(0.3, abs=0.05)


def test_hidden_tokens_are_0_and_alone_asked_for() -> None:
    x = rows_of(TEXT)
    batch = a_batch(a_stage(TEXT), x)
    hidden = batch.x == 0

    assert {3} == set(hidden.sum(1).tolist())
    assert torch.equal(torch.where(hidden, x, UNASKED), batch.y)


def test_a_language_model_is_asked_for_each_next_token() -> None:
    x = rows_of(TEXT)
    batch = a_batch(a_stage(TEXT, "lm"), x)

    assert torch.equal(x, batch.x)
    assert torch.equal(x[:, 1:], batch.y[:, :-1])
    assert (batch.y[:, -1] == UNASKED).all()


def test_an_autoencoder_is_asked_for_all_that_it_sees() -> None:
    x = rows_of(NUMBERS)
    batch = a_batch(a_stage(NUMBERS, "autoencoder"), x)

    assert torch.equal(x, batch.x)
    assert torch.equal(x, batch.y)


@pytest.mark.parametrize("form", [TABLE, IMAGES, TEXT], ids=["table", "images", "text"])
def test_what_is_hidden_does_not_depend_on_who_holds_the_rows(form: Form) -> None:
    x, found, rows = rows_of(form, 12), a_stage(form), torch.randperm(12)
    whole = found.batches(lambda r: (x[r], r), rows, slice(0, 12), 5)
    parts = [found.batches(lambda r: (x[r], r), rows, share, 5) for share in (slice(0, 5), slice(5, 12))]

    torch.testing.assert_close(whole.x, torch.cat([part.x for part in parts]))
    torch.testing.assert_close(whole.y, torch.cat([part.y for part in parts]), equal_nan=True)


@pytest.mark.parametrize(
    ("form", "given"),
    [
        (TABLE, {"cat_encoder": "embedding"}),
        (TABLE, {"cat_encoder": "onehot", "pretrain": "autoencoder"}),
        (IMAGES, {"model": "mlp"}),
        (IMAGES, {"model": "transformer", "patch": 4}),
        (TEXT, {}),
        (TEXT, {"pretrain": "lm"}),
        (replace(NUMBERS, target="regression", outputs=1, bounds=(0.0, 1.0)), {}),
    ],
)
def test_the_network_answers_what_it_is_asked_and_hands_on_all_but_its_head(
    form: Form, given: dict[str, Any]
) -> None:
    found = a_stage(form, **given)
    batch = a_batch(found, rows_of(form))
    found.loss.mean(found.network(batch.x), batch.y).backward()
    with torch.no_grad():
        for parameter in found.network.parameters():
            parameter -= 0.1 * parameter.grad

    options = Options(**{"model": "transformer" if form is TEXT else "mlp", "norm_position": "pre", **given})
    network = build(options, form)
    head = digest(network.head)
    assert digest(network.body) != digest(found.network.body)

    second(network, found.network)
    assert digest(network.body) == digest(found.network.body)
    assert digest(network.embed) == digest(found.network.embed)
    assert digest(network.head) == head


def digest(module: nn.Module) -> str:
    return sha256(b"".join(tensor.numpy().tobytes() for tensor in module.state_dict().values())).hexdigest()


def test_a_head_of_the_same_size_is_not_handed_on() -> None:
    form = replace(TEXT, outputs=8)  # as many classes as tokens
    network = build(Options(model="transformer"), form)
    head = digest(network.head)
    second(network, a_stage(form).network)

    assert digest(network.head) == head


def test_a_row_counts_the_mean_over_what_is_asked_of_it() -> None:
    found = a_stage(TABLE)
    output, y = torch.randn(3, 10, requires_grad=True), torch.full((3, 10), torch.nan)
    y[0, 0], y[1, 4:6] = 1.0, torch.tensor([0.0, 1.0])
    rows = [(output[0, 0] - 1).square(), (output[1, 4].square() + (output[1, 5] - 1).square()) / 2]
    total = found.loss.total(output, Batch(torch.zeros(3, 6), y))
    total.backward()

    torch.testing.assert_close(sum(rows), total)
    torch.testing.assert_close(total / 3, found.loss.mean(output, y))
    assert 3 == output.grad.count_nonzero()


def test_tokens_that_nobody_asked_for_do_not_count() -> None:
    found, output, y = (
        a_stage(TEXT),
        torch.randn(2, 3, 8),
        torch.tensor([[1, UNASKED, 2], [UNASKED, UNASKED, 3]]),
    )
    of = functional.cross_entropy(output.flatten(0, 1), y.flatten(), reduction="none").view(2, 3)

    torch.testing.assert_close((of[0, 0] + of[0, 2]) / 2 + of[1, 2], found.loss.total(output, Batch(y, y)))


def clusters(seed: int) -> tuple[Tensor, Tensor]:
    """Rows around six centres, of which every other one belongs to the other class."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(6, 24, generator=generator)
    which = torch.randint(6, (1200,), generator=generator)
    x = centres[which] + 1.2 * torch.randn(1200, 24, generator=generator)
    return (x - x.mean(0)) / x.std(0), which % 2


def fit(network: Network, loss: Callable[[int], Tensor], steps: int) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        optimizer.zero_grad()
        loss(step).backward()
        optimizer.step()


def accuracy(seed: int, pretrain: str) -> float:
    """On unseen rows, of a network that saw labels of 60 rows in 600."""
    x, y = clusters(seed)
    options = Options(model="mlp", hidden=(16,), pretrain=pretrain, mask_fraction=0.3)
    torch.manual_seed(seed)
    network = build(options, NUMBERS)
    if pretrain != "none":
        before = stage(options, NUMBERS, lambda rows: rows, CPU)

        def loss(step: int) -> Tensor:
            rows = torch.randint(600, (64,))
            batch = before.batches(lambda r: (x[r], y[r]), rows, slice(0, 64), 1000 * seed + step)
            return before.loss.mean(before.network(batch.x), batch.y)

        fit(before.network, loss, 200)
        second(network, before.network)
    fit(network, lambda _: functional.cross_entropy(network(x[:60]), y[:60]), 60)
    return (network(x[600:]).argmax(1) == y[600:]).float().mean().item()


@pytest.mark.parametrize("pretrain", ["masked", "autoencoder"])
def test_a_first_stage_helps_where_one_row_in_ten_has_a_label(pretrain: str) -> None:
    gains = [accuracy(seed, pretrain) - accuracy(seed, "none") for seed in range(5)]

    assert min(gains) > 0
    assert sum(gains) / len(gains) > 0.03
