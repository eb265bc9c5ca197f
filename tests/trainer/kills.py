"""Trials that are killed again and again: they must leave what an undisturbed one leaves, to the bit."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.trainer.processes import a_port, wait
from tests.trainer.runs import an_environment, checkpoints, left, rows, start

OPTIONS = {
    "model": "cnn", "width": 4, "depth": 1, "batch_size": 100, "checkpoint_seconds": 0, "log_steps": 1,
    "dropout": 0.2, "norm": "batch", "crop_pad": 1, "ema": 0.9,
}  # fmt: skip
PATIENCE = 900.0  # seconds of an undisturbed run, on a machine that is busy with others


@dataclass(frozen=True)
class Life:
    """What came of a trial that was killed on its way."""

    kills: int  # while it trained or saved
    early: int  # before its first checkpoint of that attempt
    repeated: int  # steps that were run again, though a checkpoint held them
    lost: int  # rows of the undisturbed run that no attempt left
    equal: bool  # its weights and metrics are those of the undisturbed run


def undisturbed(root: Path, epochs: int, ranks: int) -> Path:
    process = start(environment(root, epochs, ranks))
    assert 0 == process.wait(timeout=PATIENCE)
    return root


def environment(root: Path, epochs: int, ranks: int, attempt: int = 0) -> dict[str, str]:
    options = {**OPTIONS, "epochs": epochs}
    return an_environment(root, options, attempt=attempt, ranks=ranks, PET_MASTER_PORT=a_port())


def survive(root: Path, whole: Path, epochs: int, ranks: int, kills: int, random: Random) -> Life:
    """Kill -9 the launcher and its ranks at random moments, start the next attempt, let the last one end."""
    late = early = repeated = attempt = held = 0
    while late < kills:
        process = start(environment(root, epochs, ranks, attempt))
        if random.random() < 0.2:  # in the middle of starting or going on
            early += _killed(process, time.monotonic() + random.uniform(0.2, 2.5))
        else:
            wait(lambda done=process, number=attempt: done.poll() is not None or checkpoints(root, number))
            late += _killed(process, time.monotonic() + random.uniform(0.0, 0.3))
        repeated += _repeated(root, attempt, held)
        held = max([held, *(json.loads(path.read_text())["step"] for path in checkpoints(root, attempt))])
        if process.returncode == 0:
            break
        attempt += 1
    if process.returncode != 0:
        assert 0 == start(environment(root, epochs, ranks, attempt)).wait(timeout=PATIENCE)
        repeated += _repeated(root, attempt, held)
    equal = outcome(whole, 0) == outcome(root, attempt)
    return Life(late, early, repeated, _lost(whole, root, attempt), equal)


def _killed(process: Any, when: float) -> bool:
    while process.poll() is None and time.monotonic() < when:
        time.sleep(0.005)
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running


def _repeated(root: Path, attempt: int, held: int) -> int:
    """Rows of an attempt at steps that a checkpoint of an earlier one held."""
    return sum(row["step"] <= held for row in rows(root, attempt))


def _lost(whole: Path, root: Path, attempt: int) -> int:
    kept = {row["step"] for number in range(attempt + 1) for row in rows(root, number)}
    return sum(row["step"] not in kept for row in rows(whole))


def outcome(root: Path, attempt: int) -> tuple[Any, bytes]:
    weights = root / "attempts" / str(attempt) / "model" / "weights.safetensors"
    return left(root, "result.json", attempt)["metrics"], weights.read_bytes()
