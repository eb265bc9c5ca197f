"""The loop over epochs and steps: learn, agree, measure, report, save, end."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hypersweep_trainer import check, loss, metric
from hypersweep_trainer.check.watch import Watch
from hypersweep_trainer.checkpoint import Checkpoints, State
from hypersweep_trainer.config import Config, maximized
from hypersweep_trainer.counter import draw
from hypersweep_trainer.data import Data
from hypersweep_trainer.data.raw import Rows
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.model import Network
from hypersweep_trainer.model.pretrain import Stage
from hypersweep_trainer.noise import noise_scale
from hypersweep_trainer.options.facts import METRICS
from hypersweep_trainer.order import batches, order
from hypersweep_trainer.output import Output
from hypersweep_trainer.pace import Pace, line, memory
from hypersweep_trainer.patience import Patience
from hypersweep_trainer.rank import Ranks, Wish
from hypersweep_trainer.result import Outcome
from hypersweep_trainer.stop import Stopped

SHOWN = 3  # of the usual metrics, in the line of an epoch; the others are in the rows
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
        self._first_loss, self._watch = first_loss, Watch(ranks, first_loss)
        goal = config.goals[0] if config.goals else None
        self._monitor = config.monitor
        self._patience = Patience(options, goal.maximize if goal else maximized(self._monitor))
        self._wanted = {*options.metrics, *(goal.metric for goal in config.goals)}
        self._best: dict[str, Tensor] | None = None  # weights of the best epoch, where they are wanted
        self._errors: dict[str, float] = {}
        self._best_errors: dict[str, float] = {}
        self.resumed: int | None = (
            None  # the step that this attempt went on from, of the stage that it was in
        )
        self._saved = False  # whether a checkpoint holds the step at which it was stopped
        self._shown = {*METRICS[data.form.target][:SHOWN], *self._wanted}
        self._pace = Pace(0, self._count / pace)

    def restore(self, state: State) -> None:
        """Go on from a checkpoint."""
        if self._options.unfreeze_epoch and state.step > self._start(self._options.unfreeze_epoch):
            self.learner.thaw()
        self.learner.restore(state)
        self._patience.restore(state.parts["patience"])
        self._watch.restore(state.parts["watch"])
        self._best, self._best_errors = state.parts.get("best"), state.parts.get("errors", {})
        self.resumed = state.step
        self._output.say(f"going on after step {state.step}")

    def run(self) -> Outcome:
        """Train until the last epoch, until nothing gets better, or until asked to stop."""
        learner, options = self.learner, self._options
        if self._final:
            self._output.begin(learner.rows, self.resumed)
        first = torch.arange(len(self._batches[0]), device=self._ranks.device)
        learner.settle(first, self._shares[0])
        self._pace = Pace(learner.step, self._count / len(self._batches))
        while len(learner.rows) < options.epochs and not self._patience.over:
            epoch = len(learner.rows) + 1
            if epoch == options.unfreeze_epoch and learner.step == self._start(epoch):
                learner.thaw()
            if ended := self._epoch(epoch):
                return ended
            try:
                metrics = self._measured()
            except Stopped:  # measured again by the attempt that goes on from here
                self._saved = self._checkpoint(self._ranks.gather(learner.losses))
                return self._stopped()
            if reason := check.trouble(metrics, self._first_loss, learner.step, epoch):
                return self._ended("infeasible", reason)
            self._report(epoch, metrics | self._noise(epoch))
            self._judge(metrics)
            self._save(epoch)
        return self._end()

    def _start(self, epoch: int) -> int:
        """The step at which an epoch begins."""
        return (epoch - 1) * len(self._batches)

    def _epoch(self, epoch: int) -> Outcome | None:
        """The steps of an epoch that are not done yet; an outcome where they are the last ones."""
        learner, every = self.learner, self._options.log_steps
        rows = order(self._options, self._count, self._data.strata, self._config.seed, epoch)
        done = learner.step - self._start(epoch)
        if not done:
            self._watch.renew(epoch, learner.step)
        ahead = list(zip(self._batches[done:], self._shares[done:], strict=True))
        self._data.train.hint(self._coming(rows, ahead))
        rows = rows.to(self._data.train.device)
        self._pace.go(learner.step)
        for steps, (batch, share) in enumerate(ahead, done + 1):
            learner.learn(rows[batch.start : batch.stop], share)
            self._output.beat(learner.step)
            if every and learner.step % every == 0 and steps < len(self._batches):  # else the epoch tells
                self._log(batch.stop)
            if reason := self._watch.look(learner.losses, steps, batch.stop):
                return self._ended("infeasible", reason)
            now = self._ranks.agree(self._wish())
            if now is not Wish.GO:
                self._saved = self._checkpoint(self._ranks.gather(learner.losses))
            if now is Wish.STOP:
                return self._stopped()
        return None

    def _coming(self, rows: Tensor, ahead: Iterable[tuple[range, slice]]) -> Iterator[Tensor]:
        """What this rank will take in the next steps."""
        for step, (batch, share) in enumerate(ahead, self.learner.step):
            yield from self.learner.taken(rows[batch.start : batch.stop], share, step)

    def _stopped(self) -> Outcome:
        return self._ended("stopped", f"stopped on request after step {self.learner.step}")

    def _wish(self) -> Wish:
        if self._should_stop():
            return Wish.STOP
        return Wish.SAVE if self._options.checkpoint_epochs and self._checkpoints.due(LONG) else Wish.GO

    def _measured(self) -> dict[str, float]:
        """The metrics of an epoch, the same on every rank; raises Stopped, and then nothing has changed."""
        learner = self.learner
        metrics = {"train_loss": float(self._ranks.sum(learner.losses.clone())) / self._count}
        self._pace.measure(learner.step)
        self._errors = {}
        if self._final:
            with learner.measured() as network:
                metrics |= self._evaluated(network, "val", self._data.val, self._should_stop)
        learner.losses.zero_()
        return metrics

    def _evaluated(
        self, network: nn.Module, prefix: str, part: Rows, should_stop: Callable[[], bool] = lambda: False
    ) -> dict[str, float]:
        form, scaling = self._data.form, self._data.scaling
        found = metric.evaluate(
            network, part, form, scaling, self._ranks, prefix, self.rule, self._wanted, should_stop
        )
        self._errors |= finite(found.errors)
        return found.values

    def _noise(self, epoch: int) -> dict[str, float]:
        """The noise scale, where it is wanted and can be told."""
        if not self._options.noise_scale:
            return {}
        passed = max(self._config.batch // (self._options.grad_accum * self._ranks.world), 1)
        seed = draw(self._config.seed, "noise scale", epoch)
        found = noise_scale(self.learner.network, self.rule, self._data, self._ranks, seed, passed)
        return finite({"noise_scale": found})

    def _log(self, rows: int) -> None:
        """A row within an epoch, of its `rows` rows so far on all ranks; it waits for the device."""
        learner = self.learner
        metrics = finite({"train_loss": math.fsum(self._ranks.gather(learner.losses)) / rows})
        self._pace.measure(learner.step)
        self._output.row({"step": learner.step, "time": time.time(), "metrics": metrics, "run": self._run()})
        self._pace.go(learner.step)

    def _report(self, epoch: int, metrics: Mapping[str, float]) -> None:
        learner, run = self.learner, self._run()
        row = {"step": learner.step, "epoch": epoch, "time": time.time(), "metrics": dict(metrics)}
        learner.rows.append(row)
        epochs = self._options.epochs
        left = self._pace.left(learner.step, (epochs - epoch) * len(self._batches))
        words = line(row, run, epochs, left, self._shown)
        if not self._final:
            self._output.say(f"first stage, {words}")
            return
        self._output.row({**row, "run": run})
        self._output.say(words)

    def _run(self) -> dict[str, float]:
        """How the run goes: rate, gradient, speed of training since the last row, memory."""
        learner = self.learner
        found = {
            "lr": learner.rate(learner.step - 1) * learner.plateau.factor,
            "grad_norm": learner.gradient_norm(),
            "samples_per_second": self._pace.rate,
            "memory_bytes": memory(self._ranks.device),
        }
        return finite(found)  # fp16 skips steps

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
        parts: dict[str, Any] = {"patience": self._patience.state(), "watch": self._watch.state()}
        if self._best is not None:
            parts["best"], parts["errors"] = self._best, self._best_errors
        self._output.keep()  # an attempt that goes on from here does not measure them again
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
            found = finite(self._evaluated(learner.network, "test", self._data.test))
            learner.rows[-1] = {**learner.rows[-1], "metrics": {**learner.rows[-1]["metrics"], **found}}
            self._output.row(learner.rows[-1])
        return self._ended("done")

    def _ended(self, status: str, reason: str = "") -> Outcome:
        learner = self.learner
        return Outcome(
            self._config, status, learner.step, learner.rows, reason, self.resumed, self._saved,
            errors=self._errors if status == "done" else {},
        )  # fmt: skip


def _slice(share: range) -> slice:
    return slice(share.start, share.stop)


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without what JSON cannot hold."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
