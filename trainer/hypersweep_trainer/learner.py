"""A model under training: one step of it, and all of it that a checkpoint holds."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn

from hypersweep_trainer import metric, model, optim
from hypersweep_trainer.checkpoint import State, read
from hypersweep_trainer.config import Config
from hypersweep_trainer.counter import draw
from hypersweep_trainer.data import Data
from hypersweep_trainer.rank import Ranks


class Learner:
    """Network, optimizer, and how far they are."""

    def __init__(self, config: Config, data: Data, ranks: Ranks, steps: int) -> None:
        options = config.options
        self.step = 0  # steps done
        self.rows: list[dict[str, Any]] = []  # of the epochs that are measured
        self.identity = _identity(config, data)
        self._seed, self._data, self._ranks = config.seed, data.train, ranks
        self._generator = _generator(ranks.device)
        torch.default_generator.manual_seed(draw(config.seed, "model"))
        self.network = model.build(options, data.shape, data.outputs).to(ranks.device)
        self._parallel = ranks.wrap(self.network)
        self._optimizer = optim.optimizer(options, self.network)
        self.rate = optim.schedule(options, steps)
        self._loss = metric.loss(options, data, "mean" if ranks.world == 1 else "sum")
        self._noisy, self._clip = options.dropout > 0, options.grad_clip
        self._parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        self.losses = torch.zeros((), dtype=torch.float64, device=ranks.device)  # of this epoch's rows here

    def learn(self, batch: Tensor, size: int) -> None:
        """One optimizer step on this rank's rows of a global batch of `size`; it never waits for a GPU."""
        rate = self.rate(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if self._noisy:
            self._generator.manual_seed(draw(self._seed, "step", self.step, self._ranks.rank))
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._backward(batch, size)
        if self._clip:
            nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self._optimizer.step()
        self.losses.add_(loss, alpha=size / self._ranks.world)
        self.step += 1

    def settle(self, batch: Tensor, size: int) -> None:
        """Steps that leave no trace, where the ranks want some before the first true one."""
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        self._ranks.settle(lambda: self._trial_pass(batch, size))
        for buffer, before in zip(self.network.buffers(), buffers, strict=True):
            buffer.copy_(before)

    def _trial_pass(self, batch: Tensor, size: int) -> None:
        self._backward(batch, size)
        self._optimizer.zero_grad(set_to_none=True)

    def _backward(self, batch: Tensor, size: int) -> Tensor:
        """The loss whose mean over ranks is the mean over the global batch; its gradients are in place."""
        output = self._parallel(self._data.x.index_select(0, batch))
        loss = self._loss(output, self._data.y.index_select(0, batch))
        if self._ranks.world > 1:
            loss = loss * (self._ranks.world / size)  # DDP averages over ranks, whatever their shares
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def state(self, losses: list[float]) -> State:
        """All that it needs to go on; `losses` holds each rank's own of the epoch under way."""
        network, optimizer = self.network.state_dict(), self._optimizer.state_dict()
        return State(self.identity, self.step, network, optimizer, losses, self.rows)

    def restore(self, data: bytes) -> None:
        """Go on from a checkpoint, to the last bit where the world is as large as it was."""
        state = read(data, self._ranks.device)
        self.network.load_state_dict(state.model)
        self._optimizer.load_state_dict(state.optimizer)
        self.step, self.rows = state.step, list(state.rows)
        losses = state.losses
        if len(losses) != self._ranks.world:
            losses = [sum(losses)] + [0.0] * (self._ranks.world - 1)
        self.losses.fill_(losses[self._ranks.rank])


def _generator(device: torch.device) -> torch.Generator:
    """The generator that dropout draws from; seeding it alone is a hundred times cheaper than manual_seed."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index]
    return torch.default_generator


def _identity(config: Config, data: Data) -> str:
    """Equal for runs that compute the same, so that one may go on from the other's checkpoint."""
    facts = [dict(config.resolved), config.seed, config.fraction, data.digest, data.split_digest]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
