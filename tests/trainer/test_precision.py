"""Numbers and algorithms that a run computes with: what they change, and that they end with the run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hypersweep_trainer.config import Config
from hypersweep_trainer.data import load
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.rank import Alone
from hypersweep_trainer.train import built
from tests.trainer.runs import SMALL, an_environment, curve, rows, stop_after, train, weights

CPU = torch.device("cpu")
OFF = {"checks": "off", "checkpoint_seconds": 0}
CNN = {"model": "cnn", "width": 4, "depth": 1, "norm": "batch"}


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """What a trial sets for its process is what its options say: the next one's are the defaults."""
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def a_learner(**options: Any) -> Learner:
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps({**SMALL, **options})})
    data = load(config, CPU)
    return Learner(config, data, Alone(CPU), built(config, data, CPU), 100, 10)


def outputs(learner: Learner) -> set[torch.dtype]:
    """The types that the layers of a network compute in while it learns."""
    found: set[torch.dtype] = set()
    for layer in learner.network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(lambda *seen: found.add(seen[2].dtype))
    learner.learn(torch.arange(32), slice(0, 32))
    return found


@pytest.mark.parametrize(
    ("precision", "kind"), [("float32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
@pytest.mark.parametrize("options", [{}, CNN], ids=["mlp", "cnn"])
def test_matrices_are_multiplied_in_the_precision_asked_for(
    precision: str, kind: torch.dtype, options: dict[str, Any]
) -> None:
    learner = a_learner(precision=precision, **options)

    assert {kind} == outputs(learner)
    assert {torch.float32} == {p.dtype for p in learner.network.parameters()}
    assert {torch.float32} == {p.grad.dtype for p in learner.network.parameters() if p.grad is not None}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_the_bits_learn_nearly_as_well(precision: str, tmp_path: Path) -> None:
    for name in ("float32", precision):
        options = {**OFF, "precision": name, "lr": 1e-2, "grad_clip": 1.0, "epochs": 5}
        train(an_environment(tmp_path / name, options))
    whole, half = (rows(tmp_path / name)[-1]["metrics"]["val_loss"] for name in ("float32", precision))

    assert whole != half
    assert pytest.approx(whole, rel=0.05) == half


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("calls", [3, 13])
def test_a_stop_changes_nothing_at_half_the_bits(precision: str, calls: int, tmp_path: Path) -> None:
    options = {**OFF, "precision": precision, "lr": 1e-2, "dropout": 0.2, "grad_accum": 2}
    train(an_environment(tmp_path / "whole", options))
    train(an_environment(tmp_path / "broken", options), stop_after(calls))
    train(an_environment(tmp_path / "broken", options, attempt=1))

    assert curve(tmp_path / "whole") == curve(tmp_path / "broken", 0, 1)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "broken", 1)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_gradient_is_clipped_by_its_true_size_at_half_the_bits() -> None:
    norms = []
    for precision in ("float32", "fp16"):  # whose gradients are scaled by 65536 on their way
        learner = a_learner(precision=precision, grad_clip=1e-3)
        learner.learn(torch.arange(64), slice(0, 64))
        norms.append(float(learner.norm))
        gradients = [p.grad.flatten() for p in learner.network.parameters() if p.grad is not None]
        assert pytest.approx(1e-3, rel=1e-3) == float(torch.cat(gradients).norm())

    assert pytest.approx(norms[0], rel=0.02) == norms[1]


def test_gradients_that_overflow_cost_a_step_and_not_the_run() -> None:
    learner = a_learner(precision="fp16", optimizer="sgd", lr=0.1)
    before = [parameter.detach().clone() for parameter in learner.network.parameters()]
    state = learner.state([0.0], {})
    state.parts["scaler"]["scale"] = 1e38
    learner.restore(state)
    learner.learn(torch.arange(64), slice(0, 64))

    assert all(map(torch.equal, before, learner.network.parameters()))
    assert 1e38 > learner.state([0.0], {}).parts["scaler"]["scale"]
    assert 1 == learner.step


def test_rounding_of_products_lasts_as_long_as_its_run(tmp_path: Path) -> None:
    seen = []
    for name, tf32 in {"on": True, "off": False}.items():
        train(an_environment(tmp_path / name, {**OFF, "epochs": 1, "tf32": tf32}))
        seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))

    assert [("high", True), ("highest", False)] == seen


def test_determinism_lasts_as_long_as_its_run(tmp_path: Path) -> None:
    seen = []
    for name, wanted in {"on": True, "off": False}.items():
        train(an_environment(tmp_path / name, {**OFF, **CNN, "epochs": 1, "deterministic": wanted}))
        seen.append(torch.are_deterministic_algorithms_enabled())

    assert [True, False] == seen
    assert curve(tmp_path / "on") == curve(tmp_path / "off")


def test_the_order_of_pixels_in_memory_changes_no_result(tmp_path: Path) -> None:
    for name, last in {"first": False, "last": True}.items():
        options = {**OFF, **CNN, "data": "synthetic_images", "synthetic_rows": 200, "optimizer": "sgd"}
        train(an_environment(tmp_path / name, {**options, "batch_size": 32, "channels_last": last}))
    first, last = (weights(tmp_path / name) for name in ("first", "last"))

    for name, expected in first.items():
        torch.testing.assert_close(last[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mixed", [{}, {"mixup_alpha": 0.2}])
def test_images_and_convolutions_lie_in_the_order_asked_for(mixed: dict[str, float]) -> None:
    learner = a_learner(data="synthetic_images", synthetic_rows=200, channels_last=True, **CNN, **mixed)
    seen: list[Tensor] = []
    convolutions = [module for module in learner.network.modules() if isinstance(module, nn.Conv2d)]
    convolutions[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    learner.learn(torch.arange(32), slice(0, 32))

    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert all(layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in convolutions)


@pytest.mark.parametrize(
    ("optimizer", "waits"),
    [
        ("sgd", False),
        ("adam", False),
        ("amsgrad", False),
        ("adamw", False),
        ("rmsprop", True),
        ("lion", True),
    ],
)
def test_scaled_gradients_wait_for_no_gpu_where_the_optimizer_has_a_fused_kernel(
    optimizer: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = a_learner(precision="fp16", optimizer=optimizer)
    learner.learn(torch.arange(32), slice(0, 32))
    asked: list[Tensor] = []
    item = Tensor.item

    def noted(tensor: Tensor) -> Any:
        asked.append(tensor)
        return item(tensor)

    monkeypatch.setattr(Tensor, "item", noted)
    learner.learn(torch.arange(32), slice(0, 32))

    assert waits == bool(asked)
