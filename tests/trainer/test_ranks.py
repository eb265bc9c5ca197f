"""Ranks as real processes: equal results, a common end, exact resume, and failures that everybody notices."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hypersweep_trainer.__main__ import describe, verdict
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import load
from hypersweep_trainer.learner import identity
from tests.trainer.processes import a_port, alive, children, wait
from tests.trainer.runs import (
    an_environment,
    checkpoints,
    curve,
    left,
    message,
    rows,
    start,
    stop_after,
    train,
)

LONG = {"epochs": 10, "checkpoint_seconds": 0, "batch_size": 50}  # 22 batches, the last one of 29 rows
TOLERANCE = 1e-6  # of weights after two epochs on one rank and on two


def a_group(root: Path, options: dict[str, Any], attempt: int = 0) -> dict[str, str]:
    """The environment of two ranks on this machine."""
    return an_environment(root, options, attempt=attempt, ranks=2, PET_MASTER_PORT=a_port())


def weights(root: Path) -> dict[str, torch.Tensor]:
    """Of the trained model."""
    return load_file(root / "attempts/0/model/weights.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks, undisturbed."""
    root = tmp_path_factory.mktemp("whole")
    process = start(a_group(root, {**LONG, "dropout": 0.2}))

    assert 0 == process.wait(timeout=200)
    return root


def test_two_nodes_learn_what_one_process_learns_from_the_same_global_batch(tmp_path: Path) -> None:
    options = {**LONG, "epochs": 2, "log_steps": 10}
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


@pytest.mark.parametrize(
    "options",
    [{"model": "transformer", "width": 16, "heads": 2, "patch": 4}, {"optimizer": "muon", "depth": 2}],
    ids=["transformer", "muon"],
)
def test_no_rule_makes_steps_of_rounding(options: dict[str, Any], tmp_path: Path) -> None:
    options = {**options, "epochs": 2, "batch_size": 98, "checks": "off"}  # of 1 row in the last batch
    train(an_environment(tmp_path / "one", options))

    assert 0 == start(a_group(tmp_path / "two", options)).wait(timeout=200)
    alone, together = (weights(tmp_path / name) for name in ("one", "two"))
    for name, expected in alone.items():
        torch.testing.assert_close(together[name], expected, rtol=0, atol=TOLERANCE)


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
    train(an_environment(tmp_path / "parted", options), stop_after(1))

    assert 0 == start(a_group(tmp_path / "parted", options, attempt=1)).wait(timeout=200)
    assert left(tmp_path / "parted", "result.json", 1)["resumedFrom"] >= 1
    for (step, expected), (same, found) in zip(
        curve(tmp_path / "whole"), curve(tmp_path / "parted", 0, 1), strict=True
    ):
        assert step == same
        assert pytest.approx(expected, abs=1e-5) == found


def a_world(root: Path, options: dict[str, Any], ranks: int, attempt: int = 0) -> int:
    """The exit code of a trial of so many ranks."""
    port = {"PET_MASTER_PORT": a_port()}
    return start(an_environment(root, options, attempt=attempt, ranks=ranks, **port)).wait(timeout=200)


def test_a_batch_norm_of_all_ranks_sees_the_same_on_any_number_of_them(tmp_path: Path) -> None:
    """Of the 2 rows that remain of an epoch one of three ranks would get none."""
    options = {"batch_size": 359, "norm": "batch", "sync_bn": True, "optimizer": "sgd"}
    worlds = (1, 2, 3)

    assert [0, 0, 0] == [a_world(tmp_path / str(world), options, world) for world in worlds]
    assert [9, 9, 9] == [left(tmp_path / str(world), "result.json")["steps"] for world in worlds]
    alone, *others = (weights(tmp_path / str(world)) for world in worlds)
    for found in others:
        for name, expected in alone.items():
            torch.testing.assert_close(found[name], expected, rtol=0, atol=TOLERANCE)


def test_a_trial_with_batch_norm_learns_from_each_row_once_in_an_epoch_whatever_the_number_of_ranks(
    tmp_path: Path,
) -> None:
    """Of the 2 rows that remain of an epoch two ranks could not get two each."""
    count = """
import json, os
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.__main__ import main
learn = Learner.learn
def counts(self, rows, share):
    with open(os.environ["SEEN"], "a") as seen:
        seen.write("".join(f"{row}\\n" for row in rows[share].tolist()))
    learn(self, rows, share)
Learner.learn = counts
main()
"""
    options = {"batch_size": 359, "norm": "batch", "checkpoint_seconds": 0, "checks": "off"}
    train(an_environment(tmp_path, options), stop_after(4))
    first = json.loads(checkpoints(tmp_path)[-1].read_text())["step"]
    environment = an_environment(tmp_path, options, attempt=1, ranks=2, PET_MASTER_PORT=a_port())
    seen = [tmp_path / f"seen-{rank}" for rank in range(2)]
    ranks = [
        start(environment | {"HYPERSWEEP_LOCAL_RANK": str(rank), "SEEN": str(path)}, "-c", count)
        for rank, path in enumerate(seen)
    ]

    assert [0, 0] == [rank.wait(timeout=200) for rank in ranks]
    assert first == 4 == left(tmp_path, "result.json", 1)["resumedFrom"]
    rows_seen = torch.tensor([int(line) for path in seen for line in path.read_text().split()])
    assert 9 == left(tmp_path, "result.json", 1)["steps"]
    assert 1079 + 720 == len(rows_seen)
    assert 1079 == len(rows_seen.unique())


def test_a_checkpoint_of_other_batches_is_not_gone_on_from() -> None:
    config = Config.read({"HYPERSWEEP_TRAINER": "{}"})
    data = load(config, torch.device("cpu"))

    assert identity(config, data, 9) == identity(config, data, 9) != identity(config, data, 8)


def test_batch_norm_over_all_ranks_is_batch_norm_where_there_is_one(tmp_path: Path) -> None:
    """A trial that lost ranks goes on with the one that is left."""
    options = {"norm": "batch", "sync_bn": True, "checkpoint_seconds": 0, "checks": "off"}
    train(an_environment(tmp_path / "alone", {name: options[name] for name in options if name != "sync_bn"}))

    assert 0 == train(an_environment(tmp_path / "one", options))
    alone, one = (weights(tmp_path / name) for name in ("alone", "one"))
    assert all(torch.equal(expected, one[name]) for name, expected in alone.items())
    process = start(a_group(tmp_path / "two", {**options, "epochs": 1000}))
    wait(lambda: checkpoints(tmp_path / "two"))
    process.send_signal(signal.SIGTERM)
    assert 75 == process.wait(timeout=60)
    train(an_environment(tmp_path / "two", {**options, "epochs": 1000}, attempt=1), stop_after(1))
    assert "going on after step" in (tmp_path / "two/attempts/1/log.txt").read_text()


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
    assert "rank 1 was lost" == result["reason"] == message(tmp_path)  # the killed one could say nothing
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)


@pytest.mark.parametrize(
    ("error", "code", "status", "reason"),
    [
        ("ValueError('a cosmic ray')", 1, "failed", "rank 1: ValueError: a cosmic ray"),
        ("SystemExit('giving up')", 1, "failed", "rank 1: asked to exit: giving up"),
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
    assert 30 == result["steps"]
    assert {"train_loss", "val_loss"} < result["metrics"].keys()


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
        "from datetime import timedelta as t; from hypersweep_trainer import group; group.STEP = t(seconds=5)"
    )
    code = f"{impatient}; from hypersweep_trainer.__main__ import main; main()"
    environment = a_group(tmp_path, {**LONG, "epochs": 100_000})
    ranks = [start(environment | {"HYPERSWEEP_LOCAL_RANK": str(rank)}, "-c", code) for rank in range(2)]
    wait(lambda: checkpoints(tmp_path))
    ranks[1].send_signal(signal.SIGSTOP)

    assert 1 == ranks[0].wait(timeout=60)
    assert "rank 1 was lost" == message(tmp_path)
    ranks[1].kill()
    ranks[1].wait()


def test_the_death_of_rank_0_is_known_to_the_others(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = f"""
import sys
sys.stderr = open({str(told)!r}, "w", buffering=1)
from hypersweep_trainer.__main__ import main
main()
"""
    environment = a_group(tmp_path, {**LONG, "epochs": 100_000})
    ranks = [start(environment | {"HYPERSWEEP_LOCAL_RANK": "0"})]
    ranks.append(start(environment | {"HYPERSWEEP_LOCAL_RANK": "1"}, "-c", code))
    wait(lambda: checkpoints(tmp_path))
    ranks[0].kill()

    assert 1 == ranks[1].wait(timeout=60)
    assert "Failed: rank 0 was lost" in told.read_text()
    ranks[0].wait()


def test_how_a_rank_ended_that_could_say_nothing_is_told_by_its_launcher(tmp_path: Path) -> None:
    process = start(a_group(tmp_path, {**LONG, "epochs": 100_000}))
    wait(lambda: len(children(process.pid)) == 2)
    os.kill(children(process.pid)[0], signal.SIGKILL)

    assert 128 + signal.SIGKILL == process.wait(timeout=60)
    assert "rank 0 was killed by signal 9" == message(tmp_path)
    assert "rank 3 ended with code 1" == describe(3, 1)


def test_ranks_end_with_their_launcher(tmp_path: Path) -> None:
    process = start(a_group(tmp_path, {**LONG, "epochs": 100_000}))
    wait(lambda: checkpoints(tmp_path))
    ranks = children(process.pid)
    process.kill()

    process.wait()
    wait(lambda: not any(alive(rank) for rank in ranks), seconds=30)


def test_a_configuration_that_no_rank_can_run_ends_with_78_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "torch.py").write_text("raise SystemExit('torch was imported')")
    process = start({**a_group(tmp_path, {"lr": -1}), "PYTHONPATH": str(tmp_path / "path")})

    assert 78 == process.wait(timeout=60)
    assert "lr: must be a number from 1e-8 to 100 or auto, but found -1" in message(tmp_path)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([], 0), ([0, 0], 0), ([75, 75], 75), ([0, 75], 75), ([137, 1], 137), ([1, 78], 78), ([75, 143], 143)],
)
def test_the_launcher_tells_how_its_ranks_ended(codes: list[int], expected: int) -> None:
    assert expected == verdict(codes)
