"""Which rows the network sees, in which order and batches: a function of seed and epoch alone."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hypersweep_trainer.config import Config, ConfigError
from hypersweep_trainer.counter import draw
from hypersweep_trainer.model.sync import Synchronised
from hypersweep_trainer.options import Options

PAIRS = 16  # rows: two for each of 8 ranks, without which batch norm takes no step


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
    """Rows drawn with replacement, first a class that there is and then a row of it."""
    frequency = torch.bincount(strata)
    classes = frequency.nonzero().flatten()
    drawn = classes[torch.randint(len(classes), (count,), generator=generator)]
    places = torch.randint(1 << 62, (count,), generator=generator) % frequency[drawn]
    return strata.argsort(stable=True)[(frequency.cumsum(0) - frequency)[drawn] + places]


def batches(config: Config, count: int, network: nn.Module, world: int) -> list[range]:
    """The batches of an epoch of `count` rows; raises ConfigError where they are too small for batch norm.

    They are the same on any number of ranks, but where each of more than 8 has a batch norm of its own.
    """
    needed = least(network, world)
    if min(count, config.batch) < needed:
        raise ConfigError(
            f"batch_size: batch norm needs {needed} rows in each step, "
            f"but found {config.batch}, of {count} rows in all"
        )
    return partition(count, config.batch, max(needed, min(config.batch, PAIRS) if needed > 1 else 1))


def least(network: nn.Module, world: int) -> int:
    """Rows of the smallest step: batch norm wants two on each rank, or two where all ranks share it."""
    modules = [*network.modules()]
    if any(isinstance(module, Synchronised | nn.SyncBatchNorm) for module in modules):
        return 2
    return 2 * world if any(isinstance(module, _BatchNorm) for module in modules) else 1


def partition(count: int, size: int, least: int) -> list[range]:
    """Batches of `size` rows and a remainder, of which others take the rows if it has fewer than `least`."""
    whole, rest = divmod(count, size)
    if whole and 0 < rest < least:
        return [range(place * count // whole, (place + 1) * count // whole) for place in range(whole)]
    return [range(start, min(start + size, count)) for start in range(0, count, size)]
