"""`auto`: a number that a run finds before it trains, writes down, and is then as if it had been given."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hypersweep_trainer import schedule
from hypersweep_trainer.config import Config
from hypersweep_trainer.finder import Range, range_test
from hypersweep_trainer.learner import Learner
from tests.trainer.runs import an_environment, left, message, start, stop_after, train, weights

OFF = {"checks": "off", "checkpoint_seconds": 0}
RATE = {**OFF, "lr": "auto"}
BATCH = {**OFF, "batch_size": "auto"}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Exception], list[int]]:
    """Memory for so many rows of a step; returns how many were tried."""
    tried: list[int] = []
    whole = Learner.learn

    def limited(rows: int, error: Exception) -> list[int]:
        def learn(self: Learner, at: Tensor, share: slice) -> None:
            tried.append(share.stop - share.start)
            if tried[-1] > rows:
                raise error
            whole(self, at, share)

        monkeypatch.setattr(Learner, "learn", learn)
        return tried

    return limited


# -- the learning rate


def test_a_rate_is_found_once_and_written_down_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 75 == train(an_environment(tmp_path, RATE), stop_after(1))
    found = left(tmp_path, "resolved.json")["lr"]

    def again(*_: Any) -> None:
        raise AssertionError("it is known already")

    monkeypatch.setattr("hypersweep_trainer.automatic.range_test", again)
    assert 0 == train(an_environment(tmp_path, RATE, attempt=1))
    assert 1e-4 < found < 1
    assert (
        found
        == left(tmp_path, "result.json", 1)["resolved"]["lr"]
        == left(tmp_path, "resolved.json", 1)["lr"]
    )
    assert 1 == left(tmp_path, "result.json", 1)["resumedFrom"]
    assert {"lr": found} == json.loads(message(tmp_path))["resolved"]


def test_a_run_with_the_rate_that_another_found_is_the_same_run(tmp_path: Path) -> None:
    train(an_environment(tmp_path / "auto", {**RATE, "dropout": 0.2}))
    found = left(tmp_path / "auto", "resolved.json")["lr"]
    train(an_environment(tmp_path / "given", {**OFF, "lr": found, "dropout": 0.2}))

    assert same(weights(tmp_path / "auto"), weights(tmp_path / "given"))


def test_what_a_replicate_found_is_used_by_the_others(tmp_path: Path) -> None:
    environment = an_environment(tmp_path, RATE, HYPERSWEEP_RESOLVED='{"lr": 0.0123, "batch_size": 77}')
    train(environment)

    assert 0.0123 == left(tmp_path, "result.json")["resolved"]["lr"] == left(tmp_path, "resolved.json")["lr"]
    assert 128 == left(tmp_path, "result.json")["resolved"]["batch_size"]  # which is not `auto` here


def test_a_scaled_rate_has_its_peak_where_the_test_found_it(tmp_path: Path) -> None:
    peaks = []
    for scaling in ("none", "linear", "sqrt"):
        train(an_environment(tmp_path / scaling, {**RATE, "epochs": 1, "lr_scaling": scaling}))
        given = {"batch_size": 128, "lr_scaling": scaling, **left(tmp_path / scaling, "resolved.json")}
        config = Config.read({"HYPERSWEEP_TRAINER": json.dumps(given)})
        peaks.append(schedule.peak(config.options, config.batch))

    assert pytest.approx(peaks[:1] * 3) == peaks


def test_a_found_rate_learns(tmp_path: Path) -> None:
    for name, rate in {"auto": "auto", "poor": 1e-5}.items():
        train(an_environment(tmp_path / name, {**OFF, "lr": rate}))
    losses = {name: left(tmp_path / name, "result.json")["metrics"]["val_loss"] for name in ("auto", "poor")}

    assert losses["auto"]["last"] < losses["poor"]["last"] / 2


def test_a_loss_that_falls_at_no_rate_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hypersweep_trainer.automatic.range_test", lambda _: Range((), (), None))

    assert 78 == train(an_environment(tmp_path, RATE))
    assert "lr: auto must find a rate at which the loss falls" in message(tmp_path)


def test_the_rate_of_a_transferred_network_is_found_with_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Range] = []

    def watched(step: Callable[[float], float]) -> Range:
        seen.append(range_test(step))
        return seen[-1]

    train(an_environment(tmp_path / "before", {**OFF, "lr": 1e-2, "split_seed": 1}))
    monkeypatch.setattr("hypersweep_trainer.automatic.range_test", watched)
    whole = {"pretrained": f"{tmp_path}/before/attempts/0/model"}
    for name, way in {"scratch": {}, "whole": whole, "head": {**whole, "freeze": ["body.*"]}}.items():
        train(an_environment(tmp_path / name, {**RATE, **way, "epochs": 1}))
    scratch, everything, head = seen

    assert everything.losses[0] == head.losses[0] < 0.8 * scratch.losses[0]
    assert everything.suggestion != head.suggestion


def test_a_network_that_cannot_be_built_is_told_before_anything_is_looked_for(tmp_path: Path) -> None:
    environment = {
        **an_environment(tmp_path),
        "HYPERSWEEP_TRAINER": '{"model": "json:nothing", "lr": "auto"}',
    }

    assert 78 == train(environment)
    assert "model: json:nothing must name something in json" in message(tmp_path)


# -- the batch


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_the_largest_batch_that_fits_is_found_and_used(
    error: Exception, tmp_path: Path, limit: Callable[[int, Exception], list[int]]
) -> None:
    tried = limit(100, error)
    train(an_environment(tmp_path, {**BATCH, "epochs": 1}))

    assert [1, 2, 4, 8, 16, 32, 64, 128] == tried[:8]
    assert 64 == left(tmp_path, "resolved.json")["batch_size"] == max(tried[8:])
    assert 64 == left(tmp_path, "result.json")["resolved"]["batch_size"]
    assert 17 == left(tmp_path, "result.json")["steps"]


def test_a_batch_is_never_larger_than_the_data(tmp_path: Path) -> None:
    train(an_environment(tmp_path, {**BATCH, "data": "wine", "epochs": 1}))

    assert 64 == left(tmp_path, "resolved.json")["batch_size"]  # of 106 rows


def test_batch_norm_and_parts_do_not_keep_a_batch_from_being_found(
    tmp_path: Path, limit: Callable[[int, Exception], list[int]]
) -> None:
    limit(40, MemoryError())
    assert 0 == train(an_environment(tmp_path, {**BATCH, "norm": "batch", "grad_accum": 2, "epochs": 1}))

    assert 32 == left(tmp_path, "resolved.json")["batch_size"]


def test_another_error_is_not_taken_for_want_of_memory(
    tmp_path: Path, limit: Callable[[int, Exception], list[int]]
) -> None:
    limit(4, RuntimeError("shapes do not fit"))

    assert 1 == train(an_environment(tmp_path, BATCH))
    assert "rank 0: RuntimeError: shapes do not fit" == message(tmp_path)


def test_no_room_for_a_single_row_is_told(
    tmp_path: Path, limit: Callable[[int, Exception], list[int]]
) -> None:
    limit(0, MemoryError())

    assert 78 == train(an_environment(tmp_path, BATCH))
    assert "batch_size: auto must find room for one row" in message(tmp_path)


def test_a_rate_is_found_for_the_batch_that_was_found(
    tmp_path: Path, limit: Callable[[int, Exception], list[int]]
) -> None:
    limit(100, MemoryError())
    train(an_environment(tmp_path / "both", {**RATE, **BATCH}))
    train(an_environment(tmp_path / "rate", {**RATE, "batch_size": 64}))
    both, rate = (left(tmp_path / name, "resolved.json") for name in ("both", "rate"))

    assert {"batch_size": 64, **rate} == both
    assert same(weights(tmp_path / "both"), weights(tmp_path / "rate"))


# -- ranks

LIMITED = """
import os
from hypersweep_trainer.__main__ import main
from hypersweep_trainer import learner

whole, rows = learner.Learner.learn, 50 if os.environ["HYPERSWEEP_LOCAL_RANK"] == "1" else 200

def learn(self, at, share):
    if share.stop - share.start > rows:
        raise MemoryError
    whole(self, at, share)

learner.Learner.learn = learn
main()
"""


def test_ranks_find_what_fits_into_each_of_them_and_the_rate_of_one(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = an_environment(tmp_path / "two", {**RATE, **BATCH}, ranks=2, PET_MASTER_PORT=port)
    ranks = [start({**environment, "HYPERSWEEP_LOCAL_RANK": str(rank)}, "-c", LIMITED) for rank in range(2)]
    train(an_environment(tmp_path / "one", {**RATE, "batch_size": 64}))

    assert [0, 0] == [rank.wait(timeout=120) for rank in ranks]
    two = left(tmp_path / "two", "resolved.json")
    assert 64 == two["batch_size"]  # 32 rows each
    assert left(tmp_path / "one", "resolved.json")["lr"] == two["lr"]
    assert 3 * 17 == left(tmp_path / "two", "result.json")["steps"]
