"""Tables and tokens become vectors: one input for each category, or a learnt one."""

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import build
from hypersweep_trainer.model.embed import OneHot, Vectors, root
from hypersweep_trainer.options import Options

IMAGE = Form("image", "classification", (1, 8, 8), 10)
TABLE = Form("tabular", "classification", (30,), 2)
MIXED = Form("tabular", "classification", (5,), 3, numbers=3, categories=(4, 11))
TEXT = Form("sequence", "classification", (16,), 2, vocabulary=9)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def linears(network: nn.Module) -> list[tuple[int, int]]:
    return [
        (part.in_features, part.out_features) for part in network.modules() if isinstance(part, nn.Linear)
    ]


def test_one_hot_rows_sum_to_one_and_an_unseen_category_gives_zeros() -> None:
    layer = OneHot(1, (4, 3))
    encoded = layer(torch.tensor([[0.5, 1, 2], [-2.0, 3, 1], [0.0, 0, 2]]))

    assert encoded.tolist() == [[0.5, 1, 0, 0, 0, 1], [-2.0, 0, 0, 1, 1, 0], [0.0, 0, 0, 0, 0, 1]]
    assert torch.equal(one_hot(torch.tensor([1, 3]), 4)[:, 1:].float(), encoded[:2, 1:4])
    assert layer.width == 6


def test_a_categorys_vector_is_its_one_hot_row_times_the_weights() -> None:
    vectors, hot = Vectors(2, (7, 4), 3), OneHot(2, (7, 4))
    rows = torch.cat((torch.randn(50, 2), torch.randint(0, 7, (50, 1)), torch.randint(0, 4, (50, 1))), 1)
    weights = torch.block_diag(torch.eye(2), *(table.weight[1:] for table in vectors.tables))

    assert torch.equal(hot(rows) @ weights, vectors(rows))
    assert vectors.width == 8


def test_an_unseen_category_is_a_zero_vector_that_never_moves() -> None:
    network = build(Options(), MIXED)
    network(torch.zeros(4, 5)).sum().backward()

    for table in network.embed.tables:
        assert not table.weight[0].any()
        assert not table.weight.grad[0].any()
        assert table.weight[1:].all()


@pytest.mark.parametrize(("categories", "length"), [(1, 1), (2, 2), (9, 3), (10, 4), (100, 10)])
def test_a_categorys_vector_is_as_long_as_the_root_of_their_number(categories: int, length: int) -> None:
    assert length == root(categories)
    assert length == Vectors(0, (categories + 1,), "sqrt").width


@pytest.mark.parametrize(("encoder", "inputs"), [("onehot", 3 + 3 + 10), ("embedding", 3 + 2 + 4)])
def test_the_first_layer_takes_numbers_and_encoded_categories(encoder: str, inputs: int) -> None:
    assert linears(build(Options(width=64, cat_encoder=encoder), MIXED))[0] == (inputs, 64)
    assert linears(build(Options(width=64, cat_encoder="embedding", emb_dim=7), MIXED))[0] == (3 + 14, 64)


@pytest.mark.parametrize(("model", "form"), [("mlp", MIXED), ("mlp", TABLE), ("mlp", IMAGE), ("cnn", TEXT)])
def test_rows_are_blended_after_they_are_embedded(model: str, form: Form) -> None:
    network = build(Options(model=model), form).eval()
    rows, others = torch.randint(0, 4, (2, 6, *form.shape))
    rows, others = (rows, others) if form is TEXT else (rows.float(), others.float())
    share = torch.rand(6)
    embedded = [network.embed(part) for part in (rows, others)]
    weight = share.view(-1, *(1,) * (embedded[0].dim() - 1))
    blend = weight * embedded[0] + (1 - weight) * embedded[1]

    torch.testing.assert_close(network(rows, others, share), network.head(network.body(blend)))
    torch.testing.assert_close(network(rows, others, torch.ones(6)), network(rows))
    torch.testing.assert_close(network(rows, others, torch.zeros(6)), network(others))
