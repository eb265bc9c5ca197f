"""Training, top to bottom: data, model, the loop over epochs and steps, and how it ends."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from hypersweep_trainer.checkpoint import Checkpoints
from hypersweep_trainer.config import Config
from hypersweep_trainer.counter import draw
from hypersweep_trainer.data import load
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.metric import evaluate
from hypersweep_trainer.output import Output
from hypersweep_trainer.rank import Ranks, Wish
from hypersweep_trainer.result import Outcome

LONG = 60.0  # seconds after which an epoch is saved in its middle


def train(
    config: Config, ranks: Ranks, output: Output, checkpoints: Checkpoints, should_stop: Callable[[], bool]
) -> Outcome:
    """Train one configuration to its end, its divergence, or the step at which it is asked to stop."""
    options = config.options
    torch.set_num_threads(options.threads)
    data = load(config, ranks.device)
    count = len(data.train)
    least = 2 * ranks.world if options.norm == "batch" else 1  # batch norm needs two rows on each rank
    batches = partition(count, options.batch_size, least)
    shares = [within(batch, ranks.share(len(batch))) for batch in batches]
    output.describe(
        torch=torch.__version__,
        device=_name(ranks.device),
        ranks=ranks.world,
        rows=count,
        data=data.digest,
        split=data.split_digest,
    )

    learner = Learner(config, data, ranks, options.epochs * len(batches))
    saved = ranks.spread(checkpoints.newest(learner.identity))
    if saved is not None:
        learner.restore(saved)
        output.say(f"going on after step {learner.step}")
    first, resumed = learner.step, learner.step if saved is not None else None
    learner.settle(torch.arange(count, device=ranks.device)[shares[0]], len(batches[0]))

    def wish() -> Wish:
        if should_stop():
            return Wish.STOP
        return Wish.SAVE if options.checkpoint_epochs and checkpoints.due(LONG) else Wish.GO

    def ended(status: str, reason: str = "", kept: bool = False) -> Outcome:
        return Outcome(status, learner.step, learner.rows, reason, resumed, kept)

    began = time.monotonic()
    while len(learner.rows) < options.epochs:
        epoch = len(learner.rows) + 1
        order = permutation(count, config.seed, epoch).to(ranks.device)
        done = learner.step - (epoch - 1) * len(batches)
        for batch, share in zip(batches[done:], shares[done:], strict=True):
            learner.learn(order[share], len(batch))
            output.beat(learner.step)
            now = ranks.agree(wish())
            if now is not Wish.GO:
                kept = checkpoints.save(learner.state(ranks.gather(learner.losses)))
            if now is Wish.STOP:
                return ended("stopped", f"stopped on request after step {learner.step}", kept)

        metrics = {"train_loss": float(ranks.sum(learner.losses)) / count}
        learner.losses.zero_()
        ranks.align(learner.network)
        metrics |= evaluate(learner.network, data, data.val, ranks, "val")
        if data.test is not None and epoch == options.epochs:
            metrics |= evaluate(learner.network, data, data.test, ranks, "test")
        if wrong := [name for name, value in metrics.items() if not math.isfinite(value)]:
            return ended("infeasible", f"{wrong[0]} is not finite after step {learner.step} (epoch {epoch})")
        row = {"step": learner.step, "epoch": epoch, "time": time.time(), "metrics": metrics}
        learner.rows.append(row)
        output.row(row)
        pace = max(learner.step - first, 1) / (time.monotonic() - began)  # steps a second, with evaluation
        output.say(line(row, options.epochs, learner.rate(learner.step - 1), pace, count / len(batches)))
        turn = options.checkpoint_epochs and epoch % options.checkpoint_epochs == 0
        if turn and epoch < options.epochs and checkpoints.due(options.checkpoint_seconds):
            checkpoints.save(learner.state([0.0] * ranks.world))
    return ended("done")


def partition(count: int, size: int, least: int) -> list[range]:
    """Batches of `size` rows; a remainder of fewer than `least` joins the batch before it."""
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] < least:
        starts.pop()
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], count], strict=True)]


def within(batch: range, share: range) -> slice:
    return slice(batch.start + share.start, batch.start + share.stop)


def permutation(count: int, seed: int, epoch: int) -> Tensor:
    """The order of the rows in an epoch."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(draw(seed, "order", epoch)))


def line(row: Mapping[str, Any], epochs: int, rate: float, pace: float, rows: float) -> str:
    """An epoch as people read it: metrics, learning rate, rows a second, minutes and seconds to go."""
    metrics = "  ".join(f"{name} {value:.4g}" for name, value in row["metrics"].items())
    left = round(row["step"] / row["epoch"] * (epochs - row["epoch"]) / pace)
    return (
        f"epoch {row['epoch']}/{epochs}  step {row['step']}  {metrics}  lr {rate:.3g}  "
        f"{rows * pace:.0f} rows/s  {left // 60}:{left % 60:02d} to go"
    )


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
