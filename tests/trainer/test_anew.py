"""What of a trained network starts anew is told once, and is neither all of it nor frozen."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import build
from hypersweep_trainer.model.transfer import freeze, replaced
from hypersweep_trainer.options import Options
from tests.trainer.runs import an_environment, message, train

STARTS = "pretrained: starts anew: "


def a_table(root: Path, *columns: str, label: tuple[str, str] = ("no", "yes")) -> str:
    random = np.random.default_rng(0)
    rows = [",".join([*columns, "label"])]
    rows += [
        ",".join([*(f"{cell:.3f}" for cell in random.normal(size=len(columns))), label[row % 2]])
        for row in range(60)
    ]
    root.mkdir(parents=True, exist_ok=True)
    (root / "table.csv").write_text("\n".join(rows))
    return str(root / "table.csv")


def images(root: Path, side: int) -> str:
    random = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    np.savez(root / "images.npz", x=random.integers(0, 255, (60, side, side), np.uint8), y=np.arange(60) % 3)
    return str(root / "images.npz")


def a_start(root: Path, first: dict[str, Any], second: dict[str, Any], status: int = 0) -> list[str]:
    """What a trial says of a model that it starts from, after one that leaves it."""
    few = {"epochs": 1, "batch_size": 16}
    assert 0 == train(an_environment(root / "first", {**few, **first}))
    start = {"pretrained": f"{root}/first/attempts/0/model"}
    assert status == train(an_environment(root / "second", {**few, **start, **second}))
    lines = (root / "second/attempts/0/log.txt").read_text().splitlines()
    return [line for line in lines if line.startswith("pretrained: ")]


def test_a_run_names_once_what_starts_anew_and_why(tmp_path: Path) -> None:
    first = {"data": a_table(tmp_path / "a", "a", "b", "c")}
    second = {"data": a_table(tmp_path / "b", "c", "e", "a", label=("old", "new")), "lr": "auto"}
    why = "body.0.linear.weight (in part: e); head.weight, head.bias (other classes)"

    assert [f"{STARTS}{why}"] == a_start(tmp_path, first, second)


def test_a_model_that_fits_is_not_worth_a_line(tmp_path: Path) -> None:
    columns = [a_table(tmp_path / order, *order) for order in ("abc", "cab")]

    assert [] == a_start(tmp_path, *({"data": data} for data in columns))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"width": 8}, "one of this mlp outside the head: body.0.linear.weight, body.0.linear.bias, body.0."),
        ({"model": "cnn", "depth": 1}, "of the mlp there fits one of this cnn outside the head: body.0.conv"),
    ],
    ids=["width", "model"],
)
def test_a_head_alone_is_no_start(other: dict[str, Any], why: str, tmp_path: Path) -> None:
    first = {"data": images(tmp_path, 8), "task": "image", "width": 16}

    a_start(tmp_path, first, {**first, **other}, status=78)
    assert why in message(tmp_path / "second")


def test_frozen_layers_must_have_learned_something(tmp_path: Path) -> None:
    data = [images(tmp_path / str(side), side) for side in (8, 10)]
    first, second = ({"data": one, "task": "image", "depth": 2} for one in data)
    sentence = "freeze: *body* would keep first weights that nothing has trained, in body.0.linear.weight"

    a_start(tmp_path, first, {**second, "freeze": ["*body*"]}, status=78)
    assert sentence in message(tmp_path / "second")
    a_start(tmp_path, first, {**second, "freeze": ["body.1.*"]})


def test_a_new_head_of_timms_own_weights_is_told_and_not_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    known = timm.create_model("test_resnet").state_dict()
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *_, **__: {**known})
    form = Form("image", "classification", (3, 32, 32), 5)
    network = build(Options(model="timm:test_resnet", pretrained="true"), form)
    lines: list[str] = []
    anew = replaced(network, form, lines.append)

    assert [f"{STARTS}head.weight, head.bias (other classes)"] == lines
    assert known["conv1.0.weight"].equal(network.body.get_parameter("conv1.0.weight"))
    with pytest.raises(ValueError, match=r"freeze: head\.bias would keep first weights"):
        freeze(network, ["head.bias"], anew)


def test_timms_own_weights_keep_their_head_for_as_many_classes() -> None:
    form = Form("image", "classification", (3, 32, 32), 1000)
    network = build(Options(model="timm:test_resnet"), form)

    assert {} == replaced(network, form, print)


def test_all_heads_of_a_network_of_timm_start_anew() -> None:
    form = Form("image", "classification", (3, 224, 224), 5)
    network = build(Options(model="timm:deit_tiny_distilled_patch16_224"), form)
    heads = {f"body.{head}.{kind}" for head in ("head", "head_dist") for kind in ("weight", "bias")}

    assert heads == set(replaced(network, form, print))


class Words(nn.Module):
    """Gives every token's successor the same odds, and has no table of vectors."""

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.odds = nn.Parameter(torch.zeros(shape[0], outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.odds.expand(len(x), *self.odds.shape)


def test_a_network_without_vectors_of_tokens_is_no_start_for_one_with_them(tmp_path: Path) -> None:
    few = {"data": "markov", "synthetic_rows": 40, "context": 8, "epochs": 1, "batch_size": 8}
    own = json.dumps({**few, "model": f"{__name__}:Words"})
    start = {"pretrained": f"{tmp_path}/first/attempts/0/model"}

    assert 0 == train(an_environment(tmp_path / "first", HYPERSWEEP_TRAINER=own))
    assert 78 == train(an_environment(tmp_path / "second", {**few, **start}))
    assert "pretrained: a network like this one must be in" in message(tmp_path / "second")
