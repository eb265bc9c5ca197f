"""Compiled networks: which passes are compiled, when, for which batches, and what a wrong image says."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._inductor import compile_fx

from hypersweep_trainer import compiler
from hypersweep_trainer.loop import Loop
from tests.trainer.processes import a_port
from tests.trainer.runs import an_environment, checkpoints, curve, left, message, start, train, weights

OFF = {"checks": "off", "checkpoint_seconds": 0}
COMPILED = {**OFF, "compile": "default"}


class Graphs:
    """Graphs in place of which torch would compile code; they run as they are."""

    def __init__(self) -> None:
        self.rows: list[Any] = []  # of each graph's batch
        self.modes: list[dict[str, Any]] = []

    def __call__(
        self, graph: Any, given: list[Any], config_patches: dict[str, Any], **_: Any
    ) -> Callable[..., Any]:
        names = [node.target for node in graph.graph.nodes if node.op == "placeholder"]
        self.rows.append(given[names.index("L_x_")].shape[0])
        self.modes.append(dict(config_patches))
        run: Callable[..., Any] = graph.forward
        return run


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graphs]:
    seen = Graphs()
    monkeypatch.setattr(compile_fx, "compile_fx", seen)
    yield seen
    torch._dynamo.reset()  # the next test's networks are not these


def test_each_size_of_batch_is_compiled_once_in_both_stages(graphs: Graphs, tmp_path: Path) -> None:
    options = {**COMPILED, "pretrain": "autoencoder", "pretrain_epochs": 2, "batch_size": 500}
    assert 0 == train(an_environment(tmp_path, options))

    stage = [500, 79]  # of 1079 rows to train on
    assert [*stage, *stage, 359] == graphs.rows
    assert all(isinstance(rows, int) for rows in graphs.rows)  # a graph for any size has a symbol there
    log = (tmp_path / "attempts/0/log.txt").read_text()
    assert 2 == log.count("compiled in ")


@pytest.mark.parametrize(
    "options",
    [
        {"checks": "warn"},
        {"grad_accum": 3, "precision": "bf16"},
        {"mixup_alpha": 0.2, "dropout": 0.1, "ema": 0.9, "restore_best": True},
        {"model": "cnn", "width": 4, "norm": "batch", "channels_last": True},
        {"data": "markov", "synthetic_rows": 100, "model": "transformer", "batch_size": 32},
        {"pretrain": "masked", "pretrain_epochs": 1},
    ],
)
def test_nothing_is_compiled_any_more_once_training_has_begun(
    options: dict[str, Any], graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, known = Loop.run, []

    def counted(loop: Loop) -> Any:
        known.append(len(graphs.rows))
        outcome = run(loop)
        known.append(len(graphs.rows))
        return outcome

    monkeypatch.setattr(Loop, "run", counted)
    assert 0 == train(an_environment(tmp_path, {**COMPILED, **options}))

    assert known[0] > 0
    assert known[::2] == known[1::2]
    assert known[-1] == len(graphs.rows)


def test_what_is_thawed_later_is_compiled_before_training_too(graphs: Graphs, tmp_path: Path) -> None:
    options = {**COMPILED, "batch_size": 1797}
    train(an_environment(tmp_path / "first", options))
    first = str(tmp_path / "first" / "attempts" / "0" / "model")
    more = {"pretrained": first, "freeze": ["body.*"], "unfreeze_epoch": 2}
    graphs.rows.clear()
    assert 0 == train(an_environment(tmp_path / "second", {**options, **more}))

    assert [1079, 359] * 2 == graphs.rows  # frozen and thawed
    one, other = (weights(tmp_path / name) for name in ("first", "second"))
    assert not any(torch.equal(one[name], other[name]) for name in one if name.startswith("body."))


def test_a_stop_between_two_sizes_ends_before_the_first_step(graphs: Graphs, tmp_path: Path) -> None:
    environment = an_environment(tmp_path, {**COMPILED, "batch_size": 500})

    assert 75 == train(environment, lambda: bool(graphs.rows))
    assert [500] == graphs.rows
    assert "stopped on request before the first step" == message(tmp_path)


def test_a_signal_that_ends_a_compiler_too_is_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any, **__: Any) -> None:
        asked.append(True)
        raise RuntimeError("C++ compile error")

    asked: list[bool] = []
    monkeypatch.setattr(compile_fx, "compile_fx", killed)

    assert 75 == train(an_environment(tmp_path, COMPILED), lambda: bool(asked))


def test_code_that_a_killed_compiler_left_is_compiled_again(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kernel.so"
    kept.write_bytes(b"")

    def loaded(*given: Any, **more: Any) -> Any:
        if kept.exists():
            raise RuntimeError(f"ImportError: {kept}: file too short")
        return graphs(*given, **more)

    monkeypatch.setattr(compile_fx, "compile_fx", loaded)

    assert 0 == train(an_environment(tmp_path, {**COMPILED, "batch_size": 1797}))
    assert not kept.exists()
    assert [1079, 359] == graphs.rows


def test_compiled_code_computes_the_same_in_both_stages(tmp_path: Path) -> None:
    options = {**OFF, "pretrain": "autoencoder", "pretrain_epochs": 2, "batch_size": 1797}  # of few sizes
    for name, how in {"plain": "off", "compiled": "max-autotune"}.items():
        torch._dynamo.utils.counters.clear()
        assert 0 == train(an_environment(tmp_path / name, {**options, "compile": how}))
    plain, compiled = (weights(tmp_path / name) for name in ("plain", "compiled"))

    assert 3 == torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert plain.keys() == compiled.keys()
    for name, expected in plain.items():
        torch.testing.assert_close(compiled[name], expected, rtol=1e-4, atol=1e-5)
    one, other = (losses(tmp_path / name) for name in ("plain", "compiled"))
    assert 2 == len(one)
    assert pytest.approx(one, rel=1e-3) == other


def losses(root: Path) -> list[float]:
    """Those of the first stage, as they are said."""
    log = (root / "attempts/0/log.txt").read_text().splitlines()
    said = [line for line in log if line.startswith("first stage, ")]
    return [float(line.partition("train_loss ")[2].split()[0]) for line in said]


def test_compiling_leaves_no_trace_in_what_is_trained(graphs: Graphs, tmp_path: Path) -> None:
    options = {"model": "cnn", "width": 4, "norm": "batch", "dropout": 0.2, "batch_size": 500}
    for name, how in {"plain": "off", "compiled": "max-autotune"}.items():
        train(an_environment(tmp_path / name, {**OFF, **options, "compile": how}))
    plain, compiled = (weights(tmp_path / name) for name in ("plain", "compiled"))

    assert graphs.modes
    assert plain.keys() == compiled.keys()
    assert all(torch.equal(plain[name], compiled[name]) for name in plain)
    assert curve(tmp_path / "plain") == curve(tmp_path / "compiled")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("default", set()),
        ("reduce-overhead", {"triton.cudagraphs"}),
        ("max-autotune", {"triton.cudagraphs", "max_autotune"}),
    ],
)
def test_the_mode_asked_for_is_that_of_torch(
    how: str, expected: set[str], graphs: Graphs, tmp_path: Path
) -> None:
    train(an_environment(tmp_path, {**OFF, "compile": how, "epochs": 1, "batch_size": 1437}))

    assert 2 == len(graphs.modes)
    assert all(expected <= {name for name, value in mode.items() if value} for mode in graphs.modes)
    assert all(("triton.cudagraphs" in mode) == (how in compiler.GRAPHS) for mode in graphs.modes)


class Replayed(torch.autograd.Function):
    """A product whose gradient lies, as that of a CUDA graph does, where the next one will be written."""

    memory = torch.zeros(3, 3)

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[None, Tensor]:
        (x,) = ctx.saved_tensors
        Replayed.memory.copy_(x.T @ slope)
        return None, Replayed.memory.detach()


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3))

    def forward(self, x: Tensor) -> Tensor:
        return Replayed.apply(x, self.weight)


@pytest.mark.parametrize("how", compiler.GRAPHS)
def test_gradients_of_recorded_passes_add_up_and_stay(how: str) -> None:
    layer = Layer()
    compiler.compiled(layer, how)
    layer.requires_grad_(False)  # as `freeze` and `thaw` do
    layer.requires_grad_(True)
    for number in (1.0, 2.0):
        layer.forward(torch.full((1, 3), number)).sum().backward()
    Replayed.memory.zero_()

    assert layer.weight.grad is not None
    assert torch.equal(torch.full((3, 3), 3.0), layer.weight.grad)


def test_a_rank_that_compiles_for_long_is_not_taken_for_hung(tmp_path: Path) -> None:
    slow = """
import os
import time
from datetime import timedelta
import torch._inductor.compile_fx as compiling
from hypersweep_trainer import group
from hypersweep_trainer.__main__ import main
late = [8] if os.environ["HYPERSWEEP_LOCAL_RANK"] == "1" else []
def slowly(graph, *_, **__):
    time.sleep(late.pop() if late else 0)
    return graph.forward
compiling.compile_fx = slowly
group.STEP = timedelta(seconds=6)
main()
"""
    options = {**COMPILED, "epochs": 1, "batch_size": 500}
    environment = an_environment(
        tmp_path, options, ranks=2, PET_MASTER_ADDR="127.0.0.1", PET_MASTER_PORT=a_port()
    )
    ranks = [start(environment | {"HYPERSWEEP_LOCAL_RANK": str(rank)}, "-c", slow) for rank in range(2)]

    assert [0, 0] == [rank.wait(timeout=120) for rank in ranks]
    assert 3 == left(tmp_path, "result.json")["steps"]


def test_an_image_without_a_compiler_is_a_mistake_that_is_not_tried_again(tmp_path: Path) -> None:
    environment = an_environment(
        tmp_path,
        {**COMPILED, "batch_size": 1437},
        CXX="no-such-compiler",
        TORCHINDUCTOR_CACHE_DIR=str(tmp_path),
    )

    assert 78 == start(environment).wait(timeout=120)
    assert message(tmp_path).startswith("compile: default needs a C++ compiler where training runs")
    assert not checkpoints(tmp_path)
