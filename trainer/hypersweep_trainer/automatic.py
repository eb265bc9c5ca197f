"""What `auto` stands for: found once for a configuration, by trying, and written down before training."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from hypersweep import contract
from hypersweep_trainer import schedule
from hypersweep_trainer.checkpoint import Checkpoints
from hypersweep_trainer.config import Config, ConfigError
from hypersweep_trainer.data import Data
from hypersweep_trainer.finder import largest_batch, range_test
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.memory import exhausted
from hypersweep_trainer.model import Network
from hypersweep_trainer.order import batches, least, order
from hypersweep_trainer.output import Output
from hypersweep_trainer.prelude import Prelude
from hypersweep_trainer.rank import Alone
from hypersweep_trainer.stop import Stopped

NAMES = ("batch_size", "lr")  # in the order in which they are found
LARGEST = 1 << 20

Build = Callable[[Config], Network]  # the network of a configuration, as training would get it


def settle(
    config: Config, data: Data, prelude: Prelude, checkpoints: Checkpoints, output: Output, build: Build
) -> Config:
    """The configuration with numbers for `auto`: another replicate's, an earlier attempt's, or found now.

    Each is written down as soon as it is known: a later attempt of a trial that was stopped need not search.
    """
    asked = [name for name in NAMES if config.resolved.get(name) == "auto"]
    if not asked:
        return config
    kept = prelude.read(lambda: checkpoints.note(contract.RESOLVED))
    known = {**json.loads(kept or b"{}"), **config.found}
    found: dict[str, Any] = {}
    for name in asked:
        found[name] = known[name] if name in known else FINDERS[name](config, data, prelude, build)
        config = config.settled(found)
        output.note(contract.RESOLVED, found)
        output.settle(config)
    output.say(", ".join(f"{name}: auto is {value:g}" for name, value in found.items()))
    return config


def _batch(config: Config, data: Data, prelude: Prelude, build: Build) -> int:
    """The largest power of two of rows, over all ranks, of which a step fits into each rank's memory."""
    ranks, limit = prelude.ranks, min(len(data.train), LARGEST)
    share = ranks.world if config.options.batch_scope == "global" else 1
    own = config.changed(sync_bn=False)  # each rank tries by itself, and no two need end at one size

    def fits(rows: int) -> bool:
        prelude.look()
        return _fits(own, data, ranks.device, -(-rows // share), build)

    fitting = prelude.each(lambda: largest_batch(fits, limit))
    common = int(min(ranks.gather(torch.tensor(float(fitting)))))
    if not common:
        raise ConfigError("batch_size: auto must find room for one row, but not even that fits into memory")
    return common


def _fits(config: Config, data: Data, device: torch.device, rows: int, build: Build) -> bool:
    """Whether this rank alone can take a step of so many rows."""
    config = _scratch(config.changed(batch_size=rows, lr=1e-8))
    try:
        learner = Learner(config, data, Alone(device), build(config), 1, 1)
        rows = max(rows, least(learner.network, 1))
        learner.learn(torch.arange(rows, device=device) % len(data.train), slice(0, rows))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except (MemoryError, RuntimeError) as error:
        if not exhausted(error):
            raise
        return False
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return True


def _rate(config: Config, data: Data, prelude: Prelude, build: Build) -> float:
    """A learning rate by the range test, over the first steps of an epoch and a network of its own."""
    ranks, count = prelude.ranks, len(data.train)
    scratch = _scratch(config.changed(lr=1.0, lr_scaling="none"))
    learner = Learner(scratch, data, ranks, prelude.each(lambda: build(scratch)), 1, 1)
    rows = order(config.options, count, data.strata, config.seed, 1).to(ranks.device)
    steps = batches(config, count, learner.network, ranks.world)
    turn = iter(range(1 << 30))

    def step(rate: float) -> float:
        batch = steps[next(turn) % len(steps)]
        share = ranks.share(len(batch))
        learner.rate = lambda _: rate
        learner.losses.zero_()
        learner.learn(rows[batch.start : batch.stop], slice(share.start, share.stop))
        told = learner.losses.new_tensor(float(prelude.asked()))
        total, asked = ranks.sum(torch.stack([learner.losses, told])).tolist()
        if asked:  # of any rank: they stop at one step
            raise Stopped
        return float(total) / len(batch)

    found = range_test(step).suggestion
    if found is None:
        raise ConfigError("lr: auto must find a rate at which the loss falls, but it fell at none; set lr")
    return found / schedule.peak(replace(config.options, lr=1.0), config.batch)  # it will be scaled again


def _scratch(config: Config) -> Config:
    """The configuration of a learner that nothing is kept of: compiling would take longer than it does."""
    return config.changed(compile="off")


FINDERS = {"batch_size": _batch, "lr": _rate}
