"""Ranks as real processes: equal results, a common end, exact resume, and failures that everybody notices."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hypersweep_trainer.__main__ import verdict
from tests.trainer.runs import an_environment, checkpoints, curve, left, message, rows, start, train

LONG = {"epochs": 10, "checkpoint_seconds": 0, "batch_size": 50}  # 22 batches, the last one of 29 rows
TOLERANCE = 1e-6  # of weights after two epochs on one rank and on two


def a_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def a_group(root: Path, options: dict[str, Any], attempt: int = 0) -> dict[str, str]:
    """The environment of two ranks on this machine."""
    return an_environment(root, options, attempt=attempt, ranks=2, PET_MASTER_PORT=a_port())


def wait(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def weights(root: Path) -> dict[str, torch.Tensor]:
    """Of the trained model."""
    return load_file(root / "attempts/0/model/weights.safetensors")


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks, undisturbed."""
    root = tmp_path_factory.mktemp("whole")
    process = start(a_group(root, {**LONG, "dropout": 0.2}))

    assert 0 == process.wait(timeout=200)
    return root


def test_two_nodes_learn_what_one_process_learns_from_the_same_global_batch(tmp_path: Path) -> None:
    options = {**LONG, "epochs": 2}
    two = an_environment(tmp_path / "two", options, PET_NNODES="2", PET_MASTER_PORT=a_port())
    nodes = [start({**two, "PET_NODE_RANK": str(node)}) for node in range(2)]
    train(an_environment(tmp_path / "one", options))

    assert [0, 0] == [node.wait(timeout=200) for node in nodes]
    alone, together = (weights(tmp_path / name) for name in ("one", "two"))
    for name, expected in alone.items():
        torch.testing.assert_close(together[name], expected, rtol=0, atol=TOLERANCE)
    for (step, expected), (same, found) in zip(curve(tmp_path / "one"), curve(tmp_path / "two"), strict=True):
        assert step == same
        assert pytest.approx(expected, abs=1e-5) == found


def test_ranks_that_are_asked_to_stop_end_at_one_step_and_go_on_exactly(whole: Path, tmp_path: Path) -> None:
    options = {**LONG, "dropout": 0.2}
    process = start(a_group(tmp_path, options))
    wait(lambda: checkpoints(tmp_path))
    process.send_signal(signal.SIGTERM)

    assert 75 == process.wait(timeout=60)
    assert "stopped on request after step" in message(tmp_path)
    assert 0 == start(a_group(tmp_path, options, attempt=1)).wait(timeout=200)
    stopped = json.loads(checkpoints(tmp_path)[-1].read_text())["step"]
    assert stopped == left(tmp_path, "result.json", 1)["resumedFrom"] < 22 * 10
    assert curve(whole) == curve(tmp_path, 0, 1)
    assert left(whole, "result.json")["metrics"] == left(tmp_path, "result.json", 1)["metrics"]


def test_a_trial_goes_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    options = {**LONG, "epochs": 2, "crop_pad": 1, "mixup_alpha": 0.2}
    train(an_environment(tmp_path / "whole", options))
    train(an_environment(tmp_path / "parted", options), lambda: True)

    assert 0 == start(a_group(tmp_path / "parted", options, attempt=1)).wait(timeout=200)
    assert left(tmp_path / "parted", "result.json", 1)["resumedFrom"] >= 1
    for (step, expected), (same, found) in zip(
        curve(tmp_path / "whole"), curve(tmp_path / "parted", 0, 1), strict=True
    ):
        assert step == same
        assert pytest.approx(expected, abs=1e-5) == found


def test_a_killed_trial_goes_on_from_its_last_checkpoint_and_repeats_nothing_before_it(
    tmp_path: Path,
) -> None:
    options = {**LONG, "epochs": 100}
    process = start(an_environment(tmp_path / "killed", options))
    wait(lambda: len(checkpoints(tmp_path / "killed")) > 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    written = [json.loads(path.read_text())["step"] for path in checkpoints(tmp_path / "killed")]
    train(an_environment(tmp_path / "killed", options, attempt=1))
    train(an_environment(tmp_path / "whole", options))

    result = left(tmp_path / "killed", "result.json", 1)
    assert result["resumedFrom"] in written
    assert min(row["step"] for row in rows(tmp_path / "killed", 1)) == result["resumedFrom"] + 22
    assert left(tmp_path / "whole", "result.json")["metrics"] == result["metrics"]


def test_one_process_that_is_asked_to_stop_saves_and_ends_with_75(tmp_path: Path) -> None:
    process = start(an_environment(tmp_path, {**LONG, "epochs": 10_000}))
    wait(lambda: rows(tmp_path))
    for _ in range(3):  # impatient senders change nothing
        process.send_signal(signal.SIGTERM)

    assert 75 == process.wait(timeout=60)
    assert json.loads(checkpoints(tmp_path)[-1].read_text())["step"] >= rows(tmp_path)[-1]["step"]


def test_the_death_of_one_rank_ends_all(tmp_path: Path) -> None:
    process = start(a_group(tmp_path, {**LONG, "epochs": 100_000}))
    wait(lambda: checkpoints(tmp_path))
    ranks = children(process.pid)
    os.kill(ranks[1], signal.SIGKILL)

    assert 128 + signal.SIGKILL == process.wait(timeout=60)
    result = left(tmp_path, "result.json")
    assert "failed" == result["status"]
    assert result["reason"].startswith("rank 0: ")  # the killed one could say nothing
    assert "rank 0: " in message(tmp_path)
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)


@pytest.mark.parametrize(
    ("error", "code", "status", "reason"),
    [
        ("ValueError('a cosmic ray')", 1, "failed", "rank 1: ValueError: a cosmic ray"),
        ("MemoryError('no room for 9 GiB')", 0, "infeasible", "out of memory: no room for 9 GiB"),
    ],
)
def test_what_one_rank_says_when_it_fails_stands_in_the_result_of_all(
    tmp_path: Path, error: str, code: int, status: str, reason: str
) -> None:
    break_one = f"""
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.__main__ import main
learn = Learner.learn
def fails(self, rows, share):
    if self._ranks.rank == 1 and self.step == 30:
        raise {error}
    learn(self, rows, share)
Learner.learn = fails
main()
"""
    environment = a_group(tmp_path, {**LONG, "epochs": 100_000})
    ranks = [start(environment | {"HYPERSWEEP_LOCAL_RANK": str(rank)}, "-c", break_one) for rank in range(2)]

    assert [code, code] == [rank.wait(timeout=60) for rank in ranks]
    result = left(tmp_path, "result.json")
    assert (status, reason) == (result["status"], result["reason"])


def test_a_rank_that_waits_elsewhere_ends_with_the_one_that_failed(tmp_path: Path) -> None:
    break_one = """
import time
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.__main__ import main
learn = Learner.learn
def fails(self, rows, share):
    if self.step == 30:
        if self._ranks.rank == 1:
            raise ValueError("a cosmic ray")
        time.sleep(300)
    learn(self, rows, share)
Learner.learn = fails
main()
"""
    environment = a_group(tmp_path, {**LONG, "epochs": 100_000})
    ranks = [start(environment | {"HYPERSWEEP_LOCAL_RANK": str(rank)}, "-c", break_one) for rank in range(2)]

    assert [1, 1] == [rank.wait(timeout=60) for rank in ranks]
    assert "rank 1: ValueError: a cosmic ray" == left(tmp_path, "result.json")["reason"]


def test_a_rank_that_hangs_is_noticed(tmp_path: Path) -> None:
    impatient = (
        "from datetime import timedelta as t; from hypersweep_trainer import rank; rank.STEP = t(seconds=5)"
    )
    code = f"{impatient}; from hypersweep_trainer.__main__ import main; main()"
    environment = a_group(tmp_path, {**LONG, "epochs": 100_000})
    ranks = [start(environment | {"HYPERSWEEP_LOCAL_RANK": str(rank)}, "-c", code) for rank in range(2)]
    wait(lambda: checkpoints(tmp_path))
    ranks[1].send_signal(signal.SIGSTOP)

    assert 1 == ranks[0].wait(timeout=60)
    ranks[1].kill()
    ranks[1].wait()


def test_a_configuration_that_no_rank_can_run_ends_with_78_before_torch_is_imported(tmp_path: Path) -> None:
    began = time.monotonic()
    process = start(a_group(tmp_path, {"lr": -1}))

    assert 78 == process.wait(timeout=60)
    assert "lr: must be a number from 1e-8 to 100 or auto, but found -1" in message(tmp_path)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([], 0), ([0, 0], 0), ([75, 75], 75), ([0, 75], 75), ([137, 1], 137), ([1, 78], 78), ([75, 143], 143)],
)
def test_the_launcher_tells_how_its_ranks_ended(codes: list[int], expected: int) -> None:
    assert expected == verdict(codes)
