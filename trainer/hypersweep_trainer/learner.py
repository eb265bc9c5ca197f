"""A model under training: one step of it, and all of it that a checkpoint holds."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from hypersweep_trainer import augment, loss, model, optim, schedule
from hypersweep_trainer.average import Average
from hypersweep_trainer.batch import Batch
from hypersweep_trainer.checkpoint import State
from hypersweep_trainer.config import Config
from hypersweep_trainer.counter import draw
from hypersweep_trainer.data import Data
from hypersweep_trainer.model import transfer
from hypersweep_trainer.model.pretrain import Stage
from hypersweep_trainer.options import OPTIONS, Options
from hypersweep_trainer.options.facts import ARCHITECTURES
from hypersweep_trainer.order import least
from hypersweep_trainer.penalty import Penalty
from hypersweep_trainer.rank import Ranks

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Learner:
    """Network, optimizer, and how far they are."""

    def __init__(
        self,
        config: Config,
        data: Data,
        ranks: Ranks,
        network: model.Network,
        steps: int,  # of the whole run
        pace: int,  # steps of an epoch
        stage: Stage | None = None,
    ) -> None:
        options = config.options
        self.step = 0  # steps done
        self.rows: list[dict[str, Any]] = []  # of the epochs that are measured
        self.identity = identity(config, data, pace, "" if stage is None else "first stage")
        self.network = network
        self._options, self._seed, self._data, self._ranks = options, config.seed, data, ranks
        self._generator = _generator(ranks.device)
        self._levels = model.levels(network)
        self._optimizer = optim.optimizer(options, network, self._levels)
        self._parallel = ranks.wrap(network)
        self.rate = schedule.schedule(options, schedule.peak(options, config.batch), steps, pace)
        self.plateau = schedule.Plateau(options)
        self.average = Average(options.ema, network) if options.ema else None
        self.loss = loss.build(options, data.form, data.frequencies) if stage is None else stage.loss
        self._batches = _batches(options, data, ranks) if stage is None else stage.batches
        self.losses = torch.zeros((), dtype=torch.float64, device=ranks.device)  # of this epoch's rows here
        self.norm = torch.zeros((), device=ranks.device)  # of the last gradient, where it is measured
        self._scaler = torch.amp.GradScaler(ranks.device.type) if options.precision == "fp16" else None
        self._prepare()

    def _prepare(self) -> None:
        """Choose once what each step does, so that steps pay for nothing that is off."""
        options, ranks = self._options, self._ranks
        noise = options.dropout + options.dropconnect + options.stochastic_depth
        self._noisy = noise > 0 or options.model not in ARCHITECTURES  # others may have noise of their own
        self._parts = options.grad_accum
        self._least = max(
            least(self.network, ranks.world), ranks.world
        )  # norms wait for all ranks in each part
        self._cast = _cast(options, ranks.device)
        self._penalty = (
            Penalty(options, self.network) if options.l1 or options.l2 or options.grad_noise else None
        )
        self._trainable = [p for p in self.network.parameters() if p.requires_grad]
        simple = self._parts == 1 and self._batches is None and not options.channels_last
        plain = simple and self._cast is None and self._scaler is None
        self._backward: Callable[[Tensor, slice], None] = self._plain if plain else self._general

    def learn(self, rows: Tensor, share: slice) -> None:
        """One optimizer step on this rank's share of a global batch's rows.

        It never waits for a GPU, but for two cases: fp16 with an optimizer that has no fused kernel, which
        asks whether a gradient overflowed, and streamed rows whose numbers lie on the GPU.
        """
        rate = self.rate(self.step) * self.plateau.factor
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        if self._noisy:
            self._generator.manual_seed(draw(self._seed, "step", self.step, self._ranks.rank))
        self._optimizer.zero_grad(set_to_none=True)
        self._backward(rows, share)
        self._correct()
        if self._scaler is None:
            self._optimizer.step()
        else:
            self._scaler.step(self._optimizer)
            self._scaler.update()
        if self.average is not None:
            self.average.update()
        self.step += 1

    def _correct(self) -> None:
        """What happens to a gradient before it becomes a step."""
        clip = self._options.grad_clip
        if self._scaler is not None and (clip or self._penalty is not None):
            self._scaler.unscale_(self._optimizer)
        if self._penalty is not None:
            self._penalty.apply(draw(self._seed, "gradient", self.step), self.step)
        if clip:
            self.norm = nn.utils.clip_grad_norm_(self._trainable, clip)

    def _plain(self, rows: Tensor, share: slice) -> None:
        """Whole rows in full precision, as many on each rank: what a loop written by hand does."""
        count = share.stop - share.start
        if count * self._ranks.world != len(rows):  # the mean over ranks is not that over rows
            self._general(rows, share)
            return
        x, y = self._data.train.take(rows if count == len(rows) else rows[share])
        mean = self.loss.mean(self._parallel(x), y)
        mean.backward()  # type: ignore[no-untyped-call]
        self.losses.add_(mean.detach(), alpha=count)

    def _general(self, rows: Tensor, share: slice) -> None:
        """This rank's share in parts; the gradients are then those of the mean over the global batch."""
        parts = self._divided(rows, share)
        for number, part in enumerate(parts, 1):
            with self._quiet(number < len(parts)):
                self._part(rows, part)

    def _divided(self, rows: Tensor, share: slice) -> list[slice]:
        """The parts of a share that are learned from in turn."""
        count = max(min(self._parts, len(rows) // self._least), 1)
        bounds = [share.start + (share.stop - share.start) * part // count for part in range(count + 1)]
        parts = [slice(*pair) for pair in pairwise(bounds) if pair[0] < pair[1]]
        return parts or [share]  # without rows of its own a rank still takes part in the average

    def taken(self, rows: Tensor, share: slice, step: int) -> list[Tensor]:
        """The rows that `learn` takes in a step, batch by batch."""
        parts = self._divided(rows, share)
        if self._batches is None:
            return [rows[part] for part in parts]
        seed = draw(self._seed, "augment", step)
        return [self._batches.taken(rows, part, seed) for part in parts]

    def _part(self, rows: Tensor, part: slice) -> None:
        batch = self._batch(rows, part)
        with self._cast() if self._cast is not None else nullcontext():
            output = self._parallel(batch.x) if batch.other is None else self._parallel(*_blended(batch))
        total = self.loss.total(output.float(), batch)
        scaled = total * (self._ranks.world / len(rows))  # DDP averages over ranks, whatever their shares
        wanted: Tensor = scaled if self._scaler is None else self._scaler.scale(scaled)
        wanted.backward()  # type: ignore[no-untyped-call]
        self.losses.add_(total.detach())

    def _batch(self, rows: Tensor, part: slice) -> Batch:
        if self._batches is not None:
            batch = self._batches(self._data.train.take, rows, part, draw(self._seed, "augment", self.step))
        else:
            batch = Batch(*self._data.train.take(rows[part]))
        if self._options.channels_last:
            other = None if batch.other is None else batch.other.contiguous(memory_format=torch.channels_last)
            return replace(batch, x=batch.x.contiguous(memory_format=torch.channels_last), other=other)
        return batch

    def _quiet(self, more: bool) -> AbstractContextManager[Any]:
        """Gradients are averaged over ranks with the last part of a step alone."""
        if more and isinstance(self._parallel, nn.parallel.DistributedDataParallel):
            return self._parallel.no_sync()
        return nullcontext()

    def settle(self, rows: Tensor, share: slice) -> None:
        """Steps that leave no trace, where the ranks want some before the first true one."""
        with self._traceless():
            self._ranks.settle(lambda: self._trial_pass(rows, share))

    def rehearse(self, rows: Tensor, share: slice) -> None:
        """A step that leaves no trace and averages nothing over ranks."""
        with self._traceless(), self._quiet(True):
            self._trial_pass(rows, share)

    @contextmanager
    def _traceless(self) -> Iterator[None]:
        buffers, losses = [buffer.clone() for buffer in self.network.buffers()], self.losses.clone()
        yield
        for buffer, before in zip(self.network.buffers(), buffers, strict=True):
            buffer.copy_(before)
        self.losses.copy_(losses)

    def _trial_pass(self, rows: Tensor, share: slice) -> None:
        self._backward(rows, share)
        self.network.zero_grad(set_to_none=True)

    def thaw(self) -> None:
        """Let frozen parameters move from now on; what the others have learned of their gradients stays."""
        transfer.thaw(self.network)
        before = self._optimizer
        self._optimizer = optim.optimizer(self._options, self.network, self._levels)
        optim.carry(before, self._optimizer)
        self._parallel = self._ranks.wrap(self.network)
        self._prepare()

    @contextmanager
    def measured(self) -> Iterator[model.Network]:
        """The network as evaluation sees it: with its running mean of weights where there is one."""
        self._ranks.align(self.network)
        if self.average is None:
            yield self.network
            return
        with self.average.applied():
            yield self.network

    def gradient_norm(self) -> float:
        """Of the last step, over all parameters; it waits for the device."""
        if self._options.grad_clip:
            return float(self.norm)
        gradients = [p.grad for p in self._trainable if p.grad is not None]
        return (
            float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))) if gradients else 0.0
        )

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights that evaluation sees."""
        with self.measured() as network:
            return {name: value.detach().clone() for name, value in network.state_dict().items()}

    def state(self, losses: list[float], parts: Mapping[str, Any]) -> State:
        """All that it needs to go on; `losses` holds each rank's own of the epoch under way."""
        own: dict[str, Any] = {"plateau": self.plateau.state()}
        if self.average is not None:
            own["average"] = self.average.state()
        if self._scaler is not None:
            own["scaler"] = self._scaler.state_dict()
        network, optimizer = self.network.state_dict(), self._optimizer.state_dict()
        return State(self.identity, self.step, network, optimizer, losses, self.rows, {**own, **parts})

    def restore(self, state: State) -> None:
        """Go on from a checkpoint, to the last bit where the world is as large as it was."""
        self.network.load_state_dict(state.model)
        self._optimizer.load_state_dict(state.optimizer)
        self.plateau.restore(state.parts["plateau"])
        if self.average is not None:
            self.average.restore(state.parts["average"])
        if self._scaler is not None:
            self._scaler.load_state_dict(state.parts["scaler"])
        self.step, self.rows = state.step, list(state.rows)
        losses = state.losses
        if len(losses) != self._ranks.world:
            losses = [sum(losses)] + [0.0] * (self._ranks.world - 1)
        self.losses.fill_(losses[self._ranks.rank])


def _blended(batch: Batch) -> tuple[Tensor | None, ...]:
    return batch.x, batch.other, batch.share


def _batches(options: Options, data: Data, ranks: Ranks) -> augment.Augment | None:
    if not augment.wanted(options):
        return None
    return augment.Augment(options, data.form, data.normalise, ranks.device)


def _cast(options: Options, device: torch.device) -> Callable[[], AbstractContextManager[Any]] | None:
    if options.precision == "float32":
        return None
    return lambda: torch.autocast(device.type, PRECISIONS[options.precision])


def _generator(device: torch.device) -> torch.Generator:
    """The generator that dropout draws from; seeding it alone is a hundred times cheaper than manual_seed."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index]
    return torch.default_generator


def identity(config: Config, data: Data, pace: int, stage: str = "") -> str:
    """Equal for runs that compute the same, so that one may go on from the other's checkpoint.

    `pace` are the steps of an epoch: of other batches the same step has seen other rows.
    """
    facts: list[object] = [_lasting(config), config.seed, config.fraction, data.digest, data.split_digest]
    facts += [config.pretrained, stage, config.batch, pace]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _lasting(config: Config) -> dict[str, object]:
    """The resolved options; of those that only several ranks have, what was asked for on any number."""
    several = {name for name, option in OPTIONS.items() if "ranks" in option.conditions}
    given = {**config.fixed, **config.parameters}
    asked = {n: v for n, v in given.items() if n in several and v != OPTIONS[n].default}
    return {n: v for n, v in config.resolved.items() if n not in several} | asked
