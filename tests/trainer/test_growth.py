"""The size of a network: how it grows, and what dropout asks of it."""

from pathlib import Path

import pytest
import torch

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import build
from hypersweep_trainer.options import OPTIONS, Options, resolve
from tests.trainer.runs import an_environment, left, rows, train

IMAGES = Form("image", "classification", (1, 8, 8), 10)
FORMS = {"mlp": IMAGES, "cnn": IMAGES, "transformer": IMAGES}
DROPPED = {"width": 24, "depth": 2, "epochs": 12, "batch_size": 64, "lr": 3e-3}


def parameters(**options: object) -> int:
    torch.manual_seed(0)
    network = build(Options(**resolve(options)), FORMS[str(options["model"])])
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("model", FORMS)
@pytest.mark.parametrize(("option", "rungs"), [("depth", (1, 2, 3)), ("width", (8, 16, 32, 64))])
def test_growing_depth_or_width_adds_parameters_at_each_rung(
    model: str, option: str, rungs: tuple[int, ...]
) -> None:
    counts = [parameters(model=model, **{option: rung}) for rung in rungs]

    assert counts == sorted(set(counts))


def test_a_new_problem_starts_from_a_moderate_network() -> None:
    assert 3 <= OPTIONS["depth"].default + 1 <= 5  # the head is a layer, too
    assert 24 <= OPTIONS["width"].default <= 96


def test_too_much_dropout_is_told_as_an_underfit(tmp_path: Path) -> None:
    """Deaf to most of its activations, a network is no better on rows that it has seen."""
    found = {}
    for dropout in (0.0, 0.95):
        root = tmp_path / str(dropout)
        train(an_environment(root, {**DROPPED, "dropout": dropout, "epochs": 4 if dropout else 30}))
        found[dropout] = left(root, "result.json")["checks"]["gap"]

    assert found[0.95]["verdict"] == "hint"
    assert "underfit" in found[0.95]["words"]
    assert "underfit" not in found[0.0]["words"]


def test_a_wider_network_makes_up_for_dropout(tmp_path: Path) -> None:
    """With dropout p about 1 / (1 - p) times the units, as the hint of `width` says."""
    losses = []
    for width in (24, 48):
        train(an_environment(tmp_path / str(width), {**DROPPED, "width": width, "dropout": 0.5}))
        losses.append(rows(tmp_path / str(width))[-1]["metrics"]["val_loss"])

    assert losses[1] < losses[0]
    assert "1 / (1 - p)" in OPTIONS["width"].hint
    assert "larger network" in OPTIONS["dropout"].hint
