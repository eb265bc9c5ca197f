"""Builders for trials of the built-in trainer: their environment, their processes, and what they left."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

from hypersweep_trainer.loop import Loop
from hypersweep_trainer.rank import Wish
from hypersweep_trainer.trial import run

SMALL = {"epochs": 3, "width": 16, "depth": 1, "batch_size": 128}  # 9 steps an epoch on digits


def an_environment(
    root: Path, options: Mapping[str, Any] | None = None, *, attempt: int = 0, ranks: int = 1, **more: str
) -> dict[str, str]:
    """The environment of one attempt of the trial that lies below `root`."""
    return {
        "HYPERSWEEP_TRAINER": json.dumps({**SMALL, **(options or {})}),
        "HYPERSWEEP_ATTEMPT": str(attempt),
        "HYPERSWEEP_STORE": f"{root}/attempts/{attempt}",
        "HYPERSWEEP_TERMINATION_LOG": str(message_path(root)),
        "PET_NPROC_PER_NODE": str(ranks),
        **more,
    }


def message_path(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    return root / "termination"


def message(root: Path) -> str:
    return message_path(root).read_text()


class After:
    """Asks for an end once the loop has looked so often, which it does once in each step."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    def __call__(self) -> bool:
        return self._left <= 0

    def count(self) -> None:
        self._left -= 1


def train(environment: Mapping[str, str], should_stop: Callable[[], bool] = lambda: False) -> int:
    """Run a trial in this process; its exit code."""
    if not isinstance(should_stop, After):
        return run(environment, should_stop)
    wish = Loop._wish

    def counted(loop: Loop) -> Wish:
        should_stop.count()
        return wish(loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_wish", counted)
        return run(environment, should_stop)


def start(
    environment: Mapping[str, str], *program: str, said: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """The trainer as its image starts it, or another program, in a session of its own."""
    command = [sys.executable, "-W", "error", *(program or ("-m", "hypersweep_trainer"))]
    variables = {**os.environ, **environment}
    return subprocess.Popen(command, env=variables, stdout=said, stderr=said, start_new_session=True)


def left(root: Path, name: str, attempt: int = 0) -> Any:
    """A JSON document of an attempt."""
    return json.loads((root / "attempts" / str(attempt) / name).read_text())


def rows(root: Path, attempt: int = 0) -> list[dict[str, Any]]:
    """The metric rows of an attempt."""
    chunks = sorted((root / "attempts" / str(attempt) / "metrics").glob("*.jsonl"))
    return [json.loads(line) for chunk in chunks for line in chunk.read_text().splitlines()]


def curve(root: Path, *attempts: int) -> list[tuple[int, dict[str, float]]]:
    """Steps and metrics over one or more attempts, without the times."""
    return [(row["step"], row["metrics"]) for attempt in attempts or (0,) for row in rows(root, attempt)]


def weights(root: Path, attempt: int = 0) -> dict[str, Any]:
    """The tensors of the model that an attempt left."""
    from safetensors.torch import load_file

    return load_file(root / "attempts" / str(attempt) / "model" / "weights.safetensors")


def checkpoints(root: Path, attempt: int = 0) -> list[Path]:
    """The manifests of an attempt, oldest first."""
    return sorted((root / "attempts" / str(attempt) / "checkpoints").glob("*.json"))


def stop_after(steps: int) -> After:
    """For `train`, to end after so many steps of this attempt."""
    return After(steps)
