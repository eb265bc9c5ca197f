"""One step: rate times gradient, clipped and decayed; and the mean of weights over steps."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hypersweep_trainer.learner import Learner
from tests.trainer.learning import OFF, SGD, a_learner, close, same, validated
from tests.trainer.runs import an_environment, rows, stop_after, train, weights


def parameters(learner: Learner) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in learner.network.parameters()]


def test_a_step_of_sgd_is_the_rate_times_the_gradient() -> None:
    learner = a_learner(lr=0.125)
    before = parameters(learner)
    learner.learn(torch.arange(64), slice(0, 64))
    gradients = [p.grad for p in learner.network.parameters() if p.grad is not None]

    for old, slope, new in zip(before, gradients, parameters(learner), strict=True):
        assert torch.equal(old - 0.125 * slope, new)


def test_a_gradient_is_clipped_to_its_largest_norm() -> None:
    learner = a_learner(lr=0.5, grad_clip=0.1)
    before = parameters(learner)
    learner.learn(torch.arange(64), slice(0, 64))
    moved = [new - old for old, new in zip(before, parameters(learner), strict=True)]

    assert float(learner.norm) > 0.1
    assert pytest.approx(0.05, rel=1e-4) == float(torch.cat([part.flatten() for part in moved]).norm())


def test_weight_decay_is_l2_in_the_loss_for_sgd_and_not_for_adam(tmp_path: Path) -> None:
    for optimizer in ("sgd", "adamw"):
        for name in ("weight_decay", "l2"):
            options = {**SGD, "optimizer": optimizer, "lr": 0.01, "weight_decay": 0.0, name: 0.05}
            if optimizer == "adamw":
                del options["momentum"]
            train(an_environment(tmp_path / optimizer / name, {**OFF, **options}))

    close(*(weights(tmp_path / "sgd" / name) for name in ("weight_decay", "l2")))
    decayed, penalised = (weights(tmp_path / "adamw" / name) for name in ("weight_decay", "l2"))
    assert max(float((decayed[name] - penalised[name]).abs().max()) for name in decayed) > 1e-3


def test_the_mean_of_weights_is_what_evaluation_sees_and_what_is_saved(tmp_path: Path) -> None:
    for name, ema in {"own": 0.0, "mean": 0.9}.items():
        train(an_environment(tmp_path / name, {**OFF, "ema": ema, "lr": 1e-2}))
    train(an_environment(tmp_path / "stopped", {**OFF, "ema": 0.9, "lr": 1e-2}), stop_after(13))
    train(an_environment(tmp_path / "stopped", {**OFF, "ema": 0.9, "lr": 1e-2}, attempt=1))
    own, mean = (rows(tmp_path / name) for name in ("own", "mean"))

    assert [row["metrics"]["train_loss"] for row in own] == [row["metrics"]["train_loss"] for row in mean]
    assert own[-1]["metrics"]["val_loss"] != mean[-1]["metrics"]["val_loss"]
    assert pytest.approx(mean[-1]["metrics"]["val_loss"]) == validated(tmp_path / "mean")
    assert same(weights(tmp_path / "mean"), weights(tmp_path / "stopped", 1))
