"""The trainer's step ÷ a bare hand-written loop of the same model, one process: `python benchmarks/step.py`.

Both train on digits, in pairs that alternate; each sample is the mean step over ten epochs, from the end
of an epoch's first step to the end of its last, so that evaluation counts for neither.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from hypersweep_trainer.checkpoint import Checkpoints
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import load
from hypersweep_trainer.output import Silence
from hypersweep_trainer.rank import Alone
from hypersweep_trainer.train import train
from hypersweep_trainer.writer import Writer

PAIRS = 40
EPOCHS = 10
STEPS = 17  # an epoch of digits in batches of 64
ENVIRONMENT = {
    "HYPERSWEEP_TRAINER": f'{{"epochs": {EPOCHS}, "batch_size": 64, "hidden": [128], "threads": 1}}',
    "HYPERSWEEP_SEED": "1",
}


class Stopwatch(Silence):
    """Adds up the time from each epoch's first step to its last."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def beat(self, step: int) -> None:
        if step % STEPS == 1:
            self._began = time.perf_counter()
        elif step % STEPS == 0:
            self.seconds += time.perf_counter() - self._began


def ours() -> float:
    """Seconds of a step of the trainer's own loop."""
    watch, config = Stopwatch(), Config.read(ENVIRONMENT)
    checkpoints = Checkpoints([], "", Writer(print))
    outcome = train(config, Alone(torch.device("cpu")), watch, checkpoints, lambda: False)
    assert outcome.step == EPOCHS * STEPS, outcome
    return watch.seconds / EPOCHS / (STEPS - 1)


def bare() -> float:
    """Seconds of a step of a loop as one writes it by hand."""
    data = load(Config.read(ENVIRONMENT), torch.device("cpu")).train
    x, y = data.x, data.y
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.LayerNorm(128), nn.GELU(), nn.Linear(128, 10))
    weights, spared = (
        [p for p in model.parameters() if (p.ndim > 1) is decayed] for decayed in (True, False)
    )
    groups = [{"params": weights}, {"params": spared, "weight_decay": 0.0}]  # as one does, and as ours does
    optimizer = torch.optim.AdamW(groups, lr=3e-3, fused=True)
    seconds = 0.0
    for _ in range(EPOCHS):
        order, began = torch.randperm(len(y)), 0.0
        for step, rows in enumerate(order.split(64)):
            loss = functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step == 0:
                began = time.perf_counter()
        seconds += time.perf_counter() - began
    return seconds / EPOCHS / (STEPS - 1)


def paired(one: Callable[[], float], other: Callable[[], float]) -> list[tuple[float, float]]:
    """Samples of both, alternating which comes first."""
    pairs = []
    for number in range(PAIRS):
        first, second = (one, other) if number % 2 else (other, one)
        times = {first: first(), second: second()}
        pairs.append((times[one], times[other]))
    return pairs


def main() -> None:
    torch.set_num_threads(1)
    ours(), bare()  # imports and caches
    pairs = paired(ours, bare)
    ratios = [one / other for one, other in pairs]
    low, median, high = statistics.quantiles(ratios, n=4)
    mine, theirs = (statistics.median(times) * 1e6 for times in zip(*pairs, strict=True))
    print(f"trainer's step ÷ bare loop: {median:.3f} (quartiles {low:.3f} to {high:.3f}, {PAIRS} pairs)")
    print(f"medians: {mine:.0f} µs ÷ {theirs:.0f} µs; MLP 64-128-10 on digits, batch 64, one thread")


if __name__ == "__main__":
    main()
