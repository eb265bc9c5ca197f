"""Which rows the network sees, in which order and batches: a function of seed and epoch alone."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hypersweep_trainer.config import Config, ConfigError
from hypersweep_trainer.counter import draw
from hypersweep_trainer.model.sync import Synchronised
from hypersweep_trainer.options import Options


def order(options: Options, count: int, strata: Tensor | None, seed: int, epoch: int) -> Tensor:
    """The row numbers of an epoch, (count,); with repeated augmentation each stands several times in turn."""
    if not options.shuffle:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(draw(seed, "order", epoch))
    if options.sampling == "balanced" and strata is not None:
        return _balanced(strata.cpu(), count, generator)
    rows = torch.randperm(count, generator=generator)
    repeats = options.repeated_augmentation
    return rows[: -(-count // repeats)].repeat_interleave(repeats)[:count] if repeats > 1 else rows


def _balanced(strata: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows drawn with replacement so that every class that there is comes equally often."""
    frequency = torch.bincount(strata)
    weights = 1.0 / frequency[strata].double()
    return torch.multinomial(weights, count, replacement=True, generator=generator)


def batches(config: Config, count: int, network: nn.Module, world: int) -> list[range]:
    """The batches of an epoch of `count` rows; raises ConfigError where they are too small for batch norm."""
    wanted = least(network, world)
    if min(count, config.batch) < wanted:
        raise ConfigError(
            f"batch_size: batch norm needs {wanted} rows in each step, "
            f"but found {config.batch}, of {count} rows in all"
        )
    return partition(count, config.batch, wanted)


def least(network: nn.Module, world: int) -> int:
    """Rows of the smallest pass: batch norm wants two on each rank, one of each where all ranks share it."""
    modules = [*network.modules()]
    if any(isinstance(module, Synchronised | nn.SyncBatchNorm) for module in modules):
        return world
    return 2 * world if any(isinstance(module, _BatchNorm) for module in modules) else 1


def partition(count: int, size: int, least: int) -> list[range]:
    """Batches of `size` rows; a remainder of fewer than `least` joins the batch before it."""
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] < least:
        starts.pop()
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], count], strict=True)]
