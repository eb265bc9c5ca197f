"""Weights of another network find their columns, categories, characters and classes by name."""

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import Network, build
from hypersweep_trainer.model.meaning import short
from hypersweep_trainer.model.transfer import pretrained, tensors
from hypersweep_trainer.options import Options
from tests.trainer.models import Kept, a_model

ROWS = 120


def cells(classes: tuple[str, ...] = ("no", "yes")) -> dict[str, list[Any]]:
    random = np.random.default_rng(0)
    return {
        "a": random.normal(size=ROWS).round(3).tolist(),
        "b": random.normal(size=ROWS).round(3).tolist(),
        "colour": [("blue", "green", "red")[k] for k in random.integers(3, size=ROWS)],
        "size": [("large", "small")[k] for k in random.integers(2, size=ROWS)],
        "label": [classes[k] for k in random.integers(len(classes), size=ROWS)],
    }


def a_table(path: Path, columns: Mapping[str, list[Any]]) -> str:
    with path.open("w") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return str(path)


def both(
    root: Path, columns: Mapping[str, list[Any]], others: Mapping[str, list[Any]], **options: Any
) -> tuple[Kept, Kept]:
    """A model of some columns, and one of others that starts from it."""
    first, second = a_table(root / "first.csv", columns), a_table(root / "second.csv", others)
    before = a_model(root / "before", data=first, **options)
    return before, a_model(root, data=second, pretrained=str(before.folder), **options)


KINDS: dict[str, dict[str, Any]] = {
    "onehot": {"cat_encoder": "onehot"},
    "embedding": {"cat_encoder": "embedding", "emb_dim": 3},
    "means": {"cat_encoder": "target"},
    "means of three classes": {"cat_encoder": "target"},
    "residual": {"residual": "on", "width": 16, "cat_encoder": "onehot"},
    "rebuilt": {"target": "reconstruction"},
    "rebuilt and tied": {"target": "reconstruction", "tie_weights": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_columns_in_another_order_make_the_same_network(kind: str, tmp_path: Path) -> None:
    columns = cells(("low", "middle", "high") if kind == "means of three classes" else ("no", "yes"))
    moved = {name: columns[name] for name in ("size", "b", "colour", "a", "label")}
    before, later = both(tmp_path, columns, moved, **KINDS[kind])
    first, second = before.outputs(before.data.val), later.outputs(later.data.val)
    if "target" in KINDS[kind]:  # what is rebuilt stands as it comes: b, a, two sizes, three colours, label
        second = second[:, [1, 0, 4, 5, 6, 2, 3, 7, 8]]

    assert torch.allclose(first, second, atol=1e-5)
    assert first.std() > 0


@pytest.mark.parametrize("kind", ["onehot", "embedding"])
def test_rows_without_a_new_category_are_answered_as_before(kind: str, tmp_path: Path) -> None:
    columns = cells()
    fifth = [row % 5 == 0 for row in range(ROWS)]
    colours = ["aqua" if new else old for new, old in zip(fifth, columns["colour"], strict=True)]
    # the first by name, so that the others' codes change
    before, later = both(tmp_path, columns, {**columns, "colour": colours}, **KINDS[kind])
    known = torch.from_numpy(before.places("val", columns["label"]) % 5 > 0)
    first, second = before.outputs(before.data.val), later.outputs(later.data.val)

    assert torch.allclose(first[known], second[known], atol=1e-5)
    assert not torch.allclose(first[~known], second[~known], atol=1e-2)


def test_values_of_categories_count_even_where_skip_connections_add_their_vectors(tmp_path: Path) -> None:
    columns = cells()
    colours = ["aqua" if colour == "red" else colour for colour in columns["colour"]]
    options = {"cat_encoder": "embedding", "emb_dim": 3, "residual": "on", "width": 8}
    before, later = both(tmp_path, columns, {**columns, "colour": colours}, **options)
    first, second = (kept.network.get_submodule("embed.tables.0") for kept in (before, later))

    assert torch.equal(first.weight[1:3], second.weight[2:])  # blue and green


def test_vectors_of_another_length_start_anew_with_what_reads_them(tmp_path: Path) -> None:
    columns = cells()
    colours = [f"{colour}{row % 3}" for row, colour in enumerate(columns["colour"])]
    options = {"cat_encoder": "embedding", "emb_dim": "sqrt"}
    before, later = both(tmp_path, columns, {**columns, "colour": colours}, **options)
    first, second = (_first(kept.network) for kept in (before, later))

    assert (2, 3) == tuple(len(kept.network.embed.tables[0].weight.T) for kept in (before, later))
    assert torch.equal(first[:, [0, 1, 4, 5]], second[:, [0, 1, 5, 6]])


class Case:
    """A network with first weights, and what its inputs and outputs stand for."""

    def __init__(self, options: dict[str, Any], form: dict[str, Any], **encoding: Any) -> None:
        self.options = Options(**{"width": 16, "depth": 1, **options})
        self.form = Form(**form)
        self.encoding = {"names": [], **encoding}
        self.network = build(self.options, self.form).eval()

    def start(self, other: "Case") -> dict[str, str]:
        """Take another one's weights over; what starts anew, and why."""
        about = {"resolved": asdict(other.options), "form": asdict(other.form), "encoding": other.encoding}
        files = {
            "weights.safetensors": save(tensors(other.network)),
            "model.json": json.dumps(about).encode(),
        }
        return pretrained(self.options, self.network, files.get, self.form, self.encoding, print)


WORDS = {"task": "sequence", "shape": (4,), "target": "tokens"}


@pytest.mark.parametrize(("was", "tied"), [(True, True), (False, False), (True, False)])
@torch.no_grad()
def test_characters_keep_their_vectors_in_another_alphabet(was: bool, tied: bool) -> None:
    form = {**WORDS, "outputs": 5, "vocabulary": 5}
    before, later = (
        Case({"model": "transformer", "tie_weights": tie}, form, tokenizer="chars", characters=known)
        for tie, known in ((was, "abdy"), (tied, "bdcz"))
    )
    fresh = later.network.get_submodule("embed.vector").weight[3:].clone()
    anew = later.start(before)

    first = before.network(torch.tensor([[2, 3, 3, 2]]))[..., [2, 3]]
    second = later.network(torch.tensor([[1, 2, 2, 1]]))[..., [1, 2]]
    assert torch.allclose(first, second, atol=1e-6)
    assert torch.equal(fresh, later.network.get_submodule("embed.vector").weight[3:])
    tables = {"embed.vector.weight", "head.bias"} | (set() if tied else {"head.weight"})
    assert dict.fromkeys(tables, "in part: 'c', 'z'") == anew


def test_tokens_that_are_numbers_keep_them_in_a_larger_vocabulary() -> None:
    form = {"task": "sequence", "shape": (8,), "target": "classification", "outputs": 2}
    before, later = (
        Case({"model": "cnn"}, {**form, "vocabulary": size}, tokenizer="none", names=["a", "b"])
        for size in (5, 7)
    )
    x = torch.tensor([[1, 2, 3, 4, 4, 3, 0, 1]])

    assert {"embed.table.weight": "in part: 5, 6"} == later.start(before)
    assert torch.equal(before.network(x), later.network(x))


def test_characters_are_no_bytes() -> None:
    options, form = {"model": "transformer"}, {**WORDS, "outputs": 4, "vocabulary": 4}
    before = Case(options, form, tokenizer="chars", characters="abc")
    later = Case(options, form, tokenizer="none")
    tables = ("embed.vector.weight", "head.weight", "head.bias")

    assert dict.fromkeys(tables, "other tokens") == later.start(before)


IMAGE = {"task": "image", "target": "classification", "outputs": 3}
SIDES = [(1, 4, 16), (1, 8, 8)]


def test_classes_in_another_order_keep_their_weights() -> None:
    form = {**IMAGE, "shape": (1, 8, 8)}
    before, later = (Case({"model": "mlp"}, form, names=[*names]) for names in ("cab", "abc"))
    x = torch.randn(5, 1, 8, 8)

    assert {} == later.start(before)
    assert torch.allclose(before.network(x)[:, [1, 2, 0]], later.network(x), atol=1e-6)


def test_pixels_of_an_image_of_another_shape_are_others() -> None:
    before, later = (
        Case({"model": "mlp", "depth": 2}, {**IMAGE, "shape": shape}, names=[*"abc"]) for shape in SIDES
    )

    assert {"body.0.linear.weight": "other image shape"} == later.start(before)


def a_case(columns: str, **options: Any) -> Case:
    """A network for a table of numbers."""
    form = {"task": "tabular", "shape": (len(columns),), "target": "regression", "outputs": 1}
    numbers = [{"name": name} for name in columns]
    table = {"numbers": numbers, "categories": [], "kind": "codes"}
    return Case({"model": "mlp", **options}, {**form, "numbers": len(columns)}, table=table)


@torch.no_grad()
def test_a_column_more_or_less_leaves_the_others_as_they_were() -> None:
    before, later = a_case("abcd"), a_case("xdb")
    fresh = _first(later.network)[:, 0].clone()

    assert {"body.0.linear.weight": "in part: x"} == later.start(before)
    assert torch.equal(_first(before.network)[:, [3, 1]], _first(later.network)[:, 1:])
    assert torch.equal(fresh, _first(later.network)[:, 0])


def _first(network: Network) -> torch.Tensor:
    weight: torch.Tensor = network.get_submodule("body.0.linear").weight
    return weight


def test_columns_that_skip_connections_add_must_stay_where_they_are() -> None:
    options = {"residual": "on", "width": 4, "depth": 4}

    assert {} == a_case("abcd", **options).start(a_case("abcd", **options))
    with pytest.raises(ValueError, match="other columns where skip connections add them"):
        a_case("dcba", **options).start(a_case("abcd", **options))


def test_a_line_names_a_few_and_counts_the_others() -> None:
    assert "a, b, c, d" == short("abcd")
    assert "a, b, c and 2 more" == short("abcde")
