"""Levels: which layer each parameter belongs to, in our networks and in timm's."""

from typing import Any

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import build, levels
from hypersweep_trainer.options import Options

IMAGES = Form("image", "classification", (1, 16, 16), 5)
TABLE = Form("tabular", "classification", (4,), 5, numbers=2, categories=(4, 6))
TEXT = Form("sequence", "tokens", (8,), 6, vocabulary=6)


def found(form: Form, **given: Any) -> dict[str, set[int]]:
    """The levels of a network by the parts of its parameters' names that count."""
    parts: dict[str, set[int]] = {}
    for name, level in levels(build(Options(**given), form)).items():
        whole = name.startswith(("embed.", "head."))
        numbers = [part for part in name.split(".") if part.isdecimal()]
        parts.setdefault(
            name.split(".")[0] if whole else f"block {numbers[0]}" if numbers else "rest", set()
        ).add(level)
    return parts


@pytest.mark.parametrize("norm_position", ["pre", "post"])
@pytest.mark.parametrize(
    ("form", "given"),
    [
        (TABLE, {"model": "mlp", "depth": 3}),
        (IMAGES, {"model": "cnn", "depth": 3, "residual": "on"}),
        (IMAGES, {"model": "transformer", "depth": 3}),
        (TEXT, {"model": "transformer", "depth": 3, "norm": "rms"}),
    ],
    ids=["table", "convolutions", "patches", "text"],
)
def test_levels_rise_from_the_embedding_through_the_blocks_to_the_head(
    form: Form, given: dict[str, Any], norm_position: str
) -> None:
    parts = found(form, norm_position=norm_position, **given)

    assert {4} == parts.pop("head")
    assert {0} == parts.pop("embed", {0})
    assert {3} == parts.pop("rest", {3})  # the norm after the last block
    assert {f"block {number}": {number + 1} for number in range(3)} == parts


def test_tied_weights_are_at_the_level_of_the_embedding() -> None:
    found = levels(build(Options(model="transformer", depth=2, tie_weights=True), TEXT))

    assert 0 == found["embed.vector.weight"]
    assert 3 == found["head.bias"]
    assert "head.weight" not in found


@pytest.mark.parametrize(
    ("name", "grouped"),
    [("test_vit", True), ("test_convnext", True), ("test_efficientnet", True), ("pit_ti_224", False)],
)
def test_learning_rates_fall_through_a_network_of_timm_as_its_own_groups_do(name: str, grouped: bool) -> None:
    base, decay, side = 0.1, 0.65, 224 if name == "pit_ti_224" else 32
    form = Form("image", "classification", (3, side, side), 5)
    known = timm.create_model(name, num_classes=5)
    assert hasattr(known, "group_matcher") == grouped  # otherwise timm counts parameters
    classifier = known.pretrained_cfg["classifier"]
    names = {id(parameter): name for name, parameter in known.named_parameters()}
    expected = {
        names[id(parameter)]: base * group["lr_scale"]
        for group in param_groups_layer_decay(known, layer_decay=decay)
        for parameter in group["params"]
    }

    torch.manual_seed(0)
    ours = levels(build(Options(model=f"timm:{name}"), form))
    rates = {
        name.removeprefix("body.").replace("head.", f"{classifier}.", int(name.startswith("head."))): base
        * decay ** (max(ours.values()) - level)
        for name, level in ours.items()
    }
    assert expected == pytest.approx(rates)
    assert len(set(rates.values())) > 3
