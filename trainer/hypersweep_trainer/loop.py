"""The loop over epochs and steps: learn, agree, measure, report, save, end."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hypersweep_trainer import check, loss, metric
from hypersweep_trainer.checkpoint import Checkpoints, State
from hypersweep_trainer.config import Config, maximized
from hypersweep_trainer.data import Data
from hypersweep_trainer.data.raw import Rows
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.model import Network
from hypersweep_trainer.model.pretrain import Stage
from hypersweep_trainer.order import batches, order
from hypersweep_trainer.output import Output
from hypersweep_trainer.patience import Patience
from hypersweep_trainer.rank import Ranks, Wish
from hypersweep_trainer.result import Outcome

LONG = 60.0  # seconds after which an epoch is saved in its middle


class Loop:
    """One run of a configuration, from where it stands to its end."""

    def __init__(
        self,
        config: Config,
        data: Data,
        ranks: Ranks,
        network: Network,
        output: Output,
        checkpoints: Checkpoints,
        should_stop: Callable[[], bool],
        stage: Stage | None = None,
        first_loss: float = math.inf,  # what training starts from, where it is known
    ) -> None:
        options = config.options
        self._config, self._options, self._data, self._ranks = config, options, data, ranks
        self._output, self._checkpoints, self._should_stop = output, checkpoints, should_stop
        self._final = stage is None  # the stage whose metrics count
        self._count = len(data.train)
        self._batches = batches(config, self._count, network, ranks.world)
        self._shares = [_slice(ranks.share(len(batch))) for batch in self._batches]
        pace = len(self._batches)
        self.learner = Learner(config, data, ranks, network, options.epochs * pace, pace, stage)
        self.rule = loss.build(options, data.form, data.frequencies)
        self._first_loss = first_loss
        goal = config.goals[0] if config.goals else None
        self._monitor = goal.metric if goal else "val_loss"
        self._patience = Patience(options, goal.maximize if goal else maximized(self._monitor))
        self._wanted = {*options.metrics, *(goal.metric for goal in config.goals)}
        self._best: dict[str, Tensor] | None = None  # weights of the best epoch, where they are wanted
        self._errors: dict[str, float] = {}
        self._best_errors: dict[str, float] = {}
        self._resumed: int | None = None
        self._saved = False  # whether a checkpoint holds the step at which it was stopped
        self._lap = Lap(0, 0.0)

    def restore(self, state: State) -> None:
        """Go on from a checkpoint."""
        if self._options.unfreeze_epoch and state.step > self._start(self._options.unfreeze_epoch):
            self.learner.thaw()
        self.learner.restore(state)
        self._patience.restore(state.parts["patience"])
        self._best, self._best_errors = state.parts.get("best"), state.parts.get("errors", {})
        self._resumed = state.step
        self._output.say(f"going on after step {state.step}")

    def run(self) -> Outcome:
        """Train until the last epoch, until nothing gets better, or until asked to stop."""
        learner, options = self.learner, self._options
        first = torch.arange(len(self._batches[0]), device=self._ranks.device)
        learner.settle(first, self._shares[0])
        self._lap = Lap(learner.step, time.monotonic())
        while len(learner.rows) < options.epochs and not self._patience.over:
            epoch = len(learner.rows) + 1
            if epoch == options.unfreeze_epoch and learner.step == self._start(epoch):
                learner.thaw()
            if not self._epoch(epoch):
                return self._ended("stopped", f"stopped on request after step {learner.step}")
            metrics = self._measured()
            if reason := check.trouble(metrics, self._first_loss, learner.step, epoch):
                return self._ended("infeasible", reason)
            self._report(epoch, metrics)
            self._judge(metrics)
            self._save(epoch)
        return self._end()

    def _start(self, epoch: int) -> int:
        """The step at which an epoch begins."""
        return (epoch - 1) * len(self._batches)

    def _epoch(self, epoch: int) -> bool:
        """The steps of an epoch that are not done yet; False when all ranks were asked to stop."""
        learner, every = self.learner, self._options.log_steps
        rows = order(self._options, self._count, self._data.strata, self._config.seed, epoch)
        done = learner.step - self._start(epoch)
        ahead = list(zip(self._batches[done:], self._shares[done:], strict=True))
        own = (rows[batch.start : batch.stop][share] for batch, share in ahead)
        self._data.train.hint(torch.cat([rows[:0], *own]))
        rows = rows.to(self._ranks.device)
        for batch, share in ahead:
            learner.learn(rows[batch.start : batch.stop], share)
            self._output.beat(learner.step)
            if every and learner.step % every == 0:
                self._log(epoch)
            now = self._ranks.agree(self._wish())
            if now is not Wish.GO:
                self._saved = self._checkpoint(self._ranks.gather(learner.losses))
            if now is Wish.STOP:
                return False
        return True

    def _wish(self) -> Wish:
        if self._should_stop():
            return Wish.STOP
        return Wish.SAVE if self._options.checkpoint_epochs and self._checkpoints.due(LONG) else Wish.GO

    def _measured(self) -> dict[str, float]:
        """The metrics of an epoch, the same on every rank."""
        learner = self.learner
        metrics = {"train_loss": float(self._ranks.sum(learner.losses)) / self._count}
        learner.losses.zero_()
        self._errors = {}
        if not self._final:
            return metrics
        with learner.measured() as network:
            return metrics | self._evaluated(network, "val", self._data.val)

    def _evaluated(self, network: nn.Module, prefix: str, part: Rows) -> dict[str, float]:
        found = metric.evaluate(network, part, self._data, self._ranks, prefix, self.rule, self._wanted)
        self._errors |= found.errors
        return found.values

    def _log(self, epoch: int) -> None:
        """A row within an epoch; reading the loss waits for the device, so it is rare."""
        learner = self.learner
        own = sum(share.stop - share.start for share in self._shares[: learner.step - self._start(epoch)])
        metrics = {"train_loss": float(learner.losses) / max(own, 1)}  # of the epoch so far, on this rank
        self._output.row({"step": learner.step, "time": time.time(), "metrics": metrics, "run": self._run()})

    def _report(self, epoch: int, metrics: Mapping[str, float]) -> None:
        learner, run = self.learner, self._run()
        row = {"step": learner.step, "epoch": epoch, "time": time.time(), "metrics": dict(metrics)}
        learner.rows.append(row)
        words = line(row, run, self._options.epochs, self._count)
        if not self._final:
            self._output.say(f"first stage, {words}")
            return
        self._output.row({**row, "run": run})
        self._output.say(words)

    def _run(self) -> dict[str, float]:
        """How the run goes: rate, gradient, speed since its start, memory."""
        learner, seconds = self.learner, time.monotonic() - self._lap.began
        steps = max(learner.step - self._lap.step, 1)
        found = {
            "lr": learner.rate(learner.step - 1) * learner.plateau.factor,
            "grad_norm": learner.gradient_norm(),
            "samples_per_second": steps * self._count / len(self._batches) / seconds,
        }
        if self._ranks.device.type == "cuda":
            found["device_memory_bytes"] = float(torch.cuda.max_memory_allocated(self._ranks.device))
        return {name: value for name, value in found.items() if math.isfinite(value)}  # fp16 skips steps

    def _judge(self, metrics: Mapping[str, float]) -> None:
        """Whether this epoch was better than all before, for the end and for the learning rate."""
        if not self._final:
            return
        self.learner.plateau.observe(metrics["val_loss"])
        if self._patience.observe(metrics[self._monitor]) and self._options.restore_best:
            self._best, self._best_errors = self.learner.weights(), self._errors

    def _save(self, epoch: int) -> None:
        options = self._options
        turn = options.checkpoint_epochs and epoch % options.checkpoint_epochs == 0
        going = epoch < options.epochs and not self._patience.over
        due = turn and going and self._checkpoints.due(options.checkpoint_seconds)
        if due or not (going or self._final):  # a first stage is never done again
            self._checkpoint([0.0] * self._ranks.world)

    def _checkpoint(self, losses: list[float]) -> bool:
        parts: dict[str, Any] = {"patience": self._patience.state()}
        if self._best is not None:
            parts["best"], parts["errors"] = self._best, self._best_errors
        return self._checkpoints.save(self.learner.state(losses, parts))

    def _end(self) -> Outcome:
        """The last word: with the best epoch's weights, its metrics are the last ones, too."""
        learner = self.learner
        if self._best is not None:
            learner.network.load_state_dict(self._best)
            best = learner.rows[self._patience.best_epoch - 1]
            learner.rows.append({**best, "step": learner.step, "epoch": len(learner.rows), "again": True})
            self._errors = self._best_errors
        elif learner.average is not None:
            learner.network.load_state_dict(learner.weights())
        if self._data.test is not None and self._final:  # of the weights that are kept
            found = self._evaluated(learner.network, "test", self._data.test)
            learner.rows[-1] = {**learner.rows[-1], "metrics": {**learner.rows[-1]["metrics"], **found}}
            self._output.row(learner.rows[-1])
        return self._ended("done")

    def _ended(self, status: str, reason: str = "") -> Outcome:
        learner = self.learner
        return Outcome(
            self._config, status, learner.step, learner.rows, reason, self._resumed, self._saved,
            errors=self._errors if status == "done" else {},
        )  # fmt: skip


class Lap:
    """Where and when this attempt began."""

    def __init__(self, step: int, began: float) -> None:
        self.step, self.began = step, began


def _slice(share: range) -> slice:
    return slice(share.start, share.stop)


def line(row: Mapping[str, Any], run: Mapping[str, float], epochs: int, count: int) -> str:
    """An epoch as people read it: metrics, learning rate, samples a second, minutes and seconds to go."""
    metrics = "  ".join(f"{name} {value:.4g}" for name, value in row["metrics"].items())
    left = round((epochs - row["epoch"]) * count / run["samples_per_second"])
    return (
        f"epoch {row['epoch']}/{epochs}  step {row['step']}  {metrics}  lr {run['lr']:.3g}  "
        f"{run['samples_per_second']:.0f} samples/s  {left // 60}:{left % 60:02d} to go"
    )
