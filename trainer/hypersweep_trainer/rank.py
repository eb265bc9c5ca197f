"""The ranks of a trial: one process alone, or a group under DistributedDataParallel.

At an equal global batch the weights agree to 1e-6 after an epoch or two, whatever the number of ranks:
only the order of sums differs. Batch norm (each rank's own statistics) and dropout (its own masks) do not.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

import torch
from torch import Tensor, nn

from hypersweep_trainer.config import ConfigError, Place
from hypersweep_trainer.stop import Look, aside, unasked


class Wish(IntEnum):
    """What a rank asks all of them to do; the largest wish wins."""

    GO = 0
    SAVE = 1
    STOP = 2


class Ranks(Protocol):
    """What the loop asks of the processes that train together."""

    rank: int
    world: int
    device: torch.device

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model whose backward pass averages gradients over the ranks."""

    def settle(self, passes: Callable[[], None]) -> None:
        """Run throw-away passes where first steps would otherwise differ from later ones."""

    def agree(self, wish: Wish) -> Wish:
        """What all ranks do after this step, the same on each; a wish is repeated until it is met."""

    def asked(self, own: bool) -> bool:
        """Whether this rank was asked to stop, or another one as far as is known here; before training."""

    def meet(self, asked: Callable[[], bool]) -> bool:
        """Wait for all ranks, however long they take; whether one was asked to stop, the same on each."""

    def share(self, count: int) -> range:
        """Which of `count` rows are this rank's."""

    def sum(self, values: Tensor) -> Tensor:
        """The sum over ranks."""

    def gather(self, value: Tensor) -> list[float]:
        """A number of each rank, in their order."""

    def total(self, value: Tensor) -> Callable[[], float]:
        """The sum over ranks of a number, (), as it is now: nothing waits until it is asked for."""

    def collect(self, values: Tensor) -> Tensor:
        """The rows of all ranks, one rank's after the other's; they may differ in number."""

    def tell(self, word: str) -> None:
        """Leave a last word while the error that ends this rank is handled; the first one counts.

        Where that error comes from another rank's end, the word is that this rank was lost.
        """

    def heard(self) -> str:
        """The last word of the rank that failed first; empty when none left one."""

    def listen(self, answer: Callable[[str], None]) -> None:
        """Call `answer` with that word, on a thread, if this rank does not end by itself soon after it."""

    def spread(self, data: bytes | None) -> bytes | None:
        """What rank 0 has."""

    def align(self, model: nn.Module) -> None:
        """Give every rank the buffers of rank 0: the running means of batch norm."""

    def leave(self) -> None:
        """Part from the others in good order."""


def join(place: Place, look: Look = unasked) -> Ranks:
    """The ranks of a trial, once all of them are there; raises ConfigError where its GPUs cannot be used."""
    device = _device(place)
    if place.world == 1:
        return Alone(device)
    from hypersweep_trainer.group import Group

    return aside(lambda: Group(place, device), look)


def _device(place: Place) -> torch.device:
    if not torch.cuda.is_available():
        if place.gpus:
            raise ConfigError(_unseen(place.gpus))
        return torch.device("cpu")
    device = torch.device("cuda", (place.local or 0) % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def _unseen(gpus: int) -> str:
    """Why GPUs that a pod was given are of no use, in one sentence."""
    kind, release = ("CUDA", torch.version.cuda) if torch.version.cuda else ("ROCm", torch.version.hip)
    build, look = "the CPU only", "build the trainer's image without TORCH_BACKEND=cpu, or ask for no GPU"
    if release:
        build = f"{kind} {release}"
        look = (
            f"the node's driver must be new enough for {build}, and spec.runtimeClassName of"
            " trial.podTemplate the one that gives pods their GPUs, if the cluster has one"
        )
    found = f"torch {torch.__version__}, built for {build}, sees none"
    return f"trial.resources: the GPUs of this pod ({gpus}) must be visible, but {found}: {look}"


def copied(value: Tensor) -> Callable[[], float]:
    """A number as it is now, on its way to the host."""
    if value.device.type != "cuda":
        found = float(value)
        return lambda: found
    there = torch.empty_like(value, device="cpu", pin_memory=True)
    there.copy_(value, non_blocking=True)
    arrived = torch.cuda.current_stream(value.device).record_event()

    def arrival() -> float:
        arrived.synchronize()
        return float(there)

    return arrival


class Alone:
    """One process: no group, no wrapper, no cost."""

    rank = 0
    world = 1

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._word = ""

    def wrap(self, model: nn.Module) -> nn.Module:
        return model

    def settle(self, passes: Callable[[], None]) -> None:
        pass

    def agree(self, wish: Wish) -> Wish:
        return wish

    def asked(self, own: bool) -> bool:
        return own

    def meet(self, asked: Callable[[], bool]) -> bool:
        return asked()

    def share(self, count: int) -> range:
        return range(count)

    def sum(self, values: Tensor) -> Tensor:
        return values

    def gather(self, value: Tensor) -> list[float]:
        return [float(value)]

    def total(self, value: Tensor) -> Callable[[], float]:
        return copied(value)

    def collect(self, values: Tensor) -> Tensor:
        return values

    def tell(self, word: str) -> None:
        self._word = word

    def heard(self) -> str:
        return self._word

    def listen(self, answer: Callable[[str], None]) -> None:
        pass

    def spread(self, data: bytes | None) -> bytes | None:
        return data

    def align(self, model: nn.Module) -> None:
        pass

    def leave(self) -> None:
        pass
