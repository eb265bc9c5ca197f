"""The trainer's step ÷ a bare hand-written loop of the same network, one process: `-m benchmarks.step`.

A sample is the mean step of some epochs, from the end of an epoch's first step to the end of its last, so
that evaluation counts for neither. On a GPU there is a network in bfloat16 beside the others.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import nn

from benchmarks import byhand
from benchmarks.turns import ratio, time, turns
from hypersweep_trainer.checkpoint import Checkpoints
from hypersweep_trainer.config import Config, Place
from hypersweep_trainer.data import load
from hypersweep_trainer.output import Silence
from hypersweep_trainer.rank import Ranks, join
from hypersweep_trainer.train import train
from hypersweep_trainer.writer import Writer

BAR = 1.03
IMAGES = {"data": "synthetic_images", "model": "cnn"}


@dataclass(frozen=True)
class Case:
    """What both sides train, with so many epochs in a sample."""

    name: str
    options: Mapping[str, Any]
    network: Callable[[], nn.Module]
    cast: Callable[[], AbstractContextManager[object]] = nullcontext
    layout: torch.memory_format = torch.contiguous_format


CASES = (
    Case("MLP 64-128-10 on digits, batch 64", {"hidden": [128], "batch_size": 64, "epochs": 10}, byhand.mlp),
    Case(
        "three convolutions of 32×32 colour images, batch 64",
        {**IMAGES, "synthetic_rows": 1000, "width": 16, "batch_size": 64, "epochs": 2},
        lambda: byhand.conv(16),
    ),
    Case(
        "transformer of 4 layers and 128 units on 64 characters, batch 12",
        {"data": "markov", "synthetic_rows": 320, "depth": 4, "width": 128, "batch_size": 12, "epochs": 2},
        lambda: byhand.Transformer(28, 64, 128, 4, 4),
    ),
)
HALF = Case(
    "the same convolutions 64 wide, batch 512, in bf16 and channels last",
    {
        **IMAGES, "synthetic_rows": 50_000, "width": 64, "batch_size": 512, "epochs": 2, "precision": "bf16",
        "channels_last": True,
    },
    lambda: byhand.conv(64),
    lambda: torch.autocast("cuda", torch.bfloat16),
    torch.channels_last,
)  # fmt: skip


class Stopwatch(Silence):
    """Adds up the time from each epoch's first step to its last."""

    def __init__(self, steps: int, device: torch.device) -> None:
        self.seconds, self.count = 0.0, 0
        self._steps, self._device, self._began = steps, device, 0.0

    def beat(self, step: int) -> None:
        if step % self._steps == 1:
            self._began = byhand.now(self._device)
        elif step % self._steps == 0:
            self.seconds += byhand.now(self._device) - self._began
            self.count += self._steps - 1


def ours(options: Mapping[str, Any], ranks: Ranks, **more: str) -> float:
    """Seconds of a step of the trainer's own loop."""
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps({"save_model": False, **options}), **more})
    watch = Stopwatch(-(-len(load(config, ranks.device).train) // config.batch), ranks.device)
    outcome = train(config, ranks, watch, Checkpoints([], "", Writer(print)), lambda: False)
    assert outcome.status == "done", outcome
    return watch.seconds / watch.count


def bare(case: Case, device: torch.device, groups: int) -> float:
    """Seconds of a step of a loop as one writes it by hand."""
    options = {"data": "digits", **case.options}
    data = load(Config.read({"HYPERSWEEP_TRAINER": json.dumps(options)}), device).train
    x, y = (part.contiguous() for part in data.take(torch.arange(len(data), device=device)))
    x = x.to(memory_format=case.layout) if x.ndim == 4 else x
    network = case.network().to(device).to(memory_format=case.layout)
    return byhand.loop(network, x, y, options["batch_size"], options["epochs"], groups, cast=case.cast)


def compare(case: Case, ranks: Ranks) -> None:
    mine, two, one = turns(
        lambda: ours(case.options, ranks),
        lambda: bare(case, ranks.device, groups=2),
        lambda: bare(case, ranks.device, groups=1),
    )
    rates = [f"{case.options['batch_size'] / median(found):.0f}" for found in (mine, two, one)]
    print(f"{case.name}: {time(mine)} ÷ {time(two)} (AdamW of two groups) or {time(one)} (of one)")
    print(f"  samples/s: {rates[0]} ÷ {rates[1]} or {rates[2]}")
    print(f"  step ÷ bare loop, AdamW of two groups, as ours: {ratio(mine, two, BAR)}")
    print(f"  step ÷ bare loop, AdamW of one group: {ratio(mine, one, BAR)}", flush=True)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "one thread of the CPU"


def main() -> None:
    ranks = join(Place())
    print(f"one process on {device_name(ranks.device)}")
    torch.set_num_threads(1)
    for case in (*CASES, HALF) if ranks.device.type == "cuda" else CASES:
        compare(case, ranks)


if __name__ == "__main__":
    main()
