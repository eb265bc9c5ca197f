"""What the checks of a sweep's first trial cost beside its training: `python -m benchmarks.checks`."""

import json
import time as clock
from dataclasses import replace
from typing import Any

import torch

from benchmarks.turns import ratio, time, turns
from hypersweep_trainer.checkpoint import Checkpoints
from hypersweep_trainer.config import Config
from hypersweep_trainer.output import Silence
from hypersweep_trainer.rank import Alone
from hypersweep_trainer.train import train
from hypersweep_trainer.writer import Writer

NOISE = {"dropout": 0.2, "label_smoothing": 0.1, "mixup_alpha": 0.2}  # each of them is checked, too


def trial(options: dict[str, Any], *, thorough: bool) -> float:
    """Seconds of a training on digits, from its data on."""
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps({**options, "save_model": False})})
    writer = Writer(print)
    began = clock.perf_counter()
    train(
        replace(config, thorough=thorough),
        Alone(torch.device("cpu")),
        Silence(),
        Checkpoints([], "", writer),
        lambda: False,
    )
    took = clock.perf_counter() - began
    writer.close()
    return took


def compare(name: str, options: dict[str, Any], rounds: int) -> None:
    """A trial with all checks beside one with the free ones."""
    all_, free = turns(
        lambda: trial(options, thorough=True), lambda: trial(options, thorough=False), rounds=rounds
    )
    print(f"{name}: {time(all_)} with all checks ÷ {time(free)} with the free ones: {ratio(all_, free)}")


def main() -> None:
    torch.set_num_threads(1)
    compare("MLP on digits", NOISE, 20)
    compare("three convolutions on digits", {**NOISE, "model": "cnn"}, 5)


if __name__ == "__main__":
    main()
