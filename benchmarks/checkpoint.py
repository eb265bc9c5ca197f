"""What a checkpoint costs the epoch that it follows, on digits: `python -m benchmarks.checkpoint`.

Runs with a checkpoint after each epoch, to a folder on this machine, take turns with runs without any.
"""

import json
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.turns import ratio, time, turns
from hypersweep.store import open_store
from hypersweep_trainer.checkpoint import Checkpoints
from hypersweep_trainer.config import Config
from hypersweep_trainer.options import OPTIONS
from hypersweep_trainer.output import Silence
from hypersweep_trainer.rank import Alone
from hypersweep_trainer.train import train
from hypersweep_trainer.writer import Writer

BAR, EPOCHS = 0.02, 30


def epoch(options: dict[str, Any], *, saved: bool) -> float:
    """Seconds of an epoch, its evaluation included."""
    given = {**options, "epochs": EPOCHS, "save_model": False, "checkpoint_seconds": 0}
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps(given)})
    with TemporaryDirectory() as folder:
        writer = Writer(print)
        checkpoints = Checkpoints([open_store(folder)] if saved else [], "", writer)
        outcome = train(config, Alone(torch.device("cpu")), Silence(), checkpoints, lambda: False)
        writer.drain()
        writer.close()
    return float(outcome.rows[-1]["time"] - outcome.rows[0]["time"]) / (EPOCHS - 1)


def compare(name: str, options: dict[str, Any]) -> None:
    with_, without = turns(lambda: epoch(options, saved=True), lambda: epoch(options, saved=False))
    cost = median(one - other for one, other in zip(with_, without, strict=True))
    least = OPTIONS["checkpoint_seconds"].default
    print(f"{name}: an epoch of {time(without)}; a checkpoint after it takes {max(cost, 0) * 1e3:.2f} ms")
    print(f"  epochs with a checkpoint each ÷ without: {ratio(with_, without)}")
    print(f"  one in {least:g} s, as by default: {max(cost, 0) / least:.3%} of the time, to reach: {BAR:.0%}")


def main() -> None:
    torch.set_num_threads(1)
    compare("MLP", {})
    compare("three convolutions", {"model": "cnn", "width": 16})


if __name__ == "__main__":
    main()
