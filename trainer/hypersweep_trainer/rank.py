"""The ranks of a trial: one process alone, or a group under DistributedDataParallel.

At an equal global batch the weights agree to 1e-6 after an epoch or two, whatever the number of ranks:
only the order of sums differs. Batch norm (each rank's own statistics) and dropout (its own masks) do not.
"""

import contextlib
import inspect
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from enum import IntEnum
from typing import Any, Protocol, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hypersweep_trainer.config import Place

JOIN = timedelta(minutes=10)  # until all ranks are there: pods of one trial may start apart
STEP = timedelta(minutes=2)  # the longest that a rank waits for the others at a step
EAR = 1.0  # seconds between two looks for a last word
FAILED = "failed"  # where a rank leaves its last word
RESPONSE = 0.1  # seconds between two agreements of the ranks


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

    def share(self, count: int) -> range:
        """Which of `count` rows are this rank's."""

    def sum(self, values: Tensor) -> Tensor:
        """The sum over ranks."""

    def gather(self, value: Tensor) -> list[float]:
        """A number of each rank, in their order."""

    def collect(self, values: Tensor) -> Tensor:
        """The rows of all ranks, one rank's after the other's; they may differ in number."""

    def tell(self, word: str) -> None:
        """Leave a last word before this rank fails; the first one counts."""

    def heard(self) -> str:
        """The last word of the rank that failed first; empty when none left one."""

    def listen(self, answer: Callable[[str], None]) -> None:
        """Call `answer` with that word, on a thread, as soon as there is one."""

    def spread(self, data: bytes | None) -> bytes | None:
        """What rank 0 has."""

    def align(self, model: nn.Module) -> None:
        """Give every rank the buffers of rank 0: the running means of batch norm."""

    def leave(self) -> None:
        """Part from the others in good order."""


def join(place: Place) -> Ranks:
    """The ranks of a trial, once all of them are there."""
    if place.world == 1:
        return Alone(_device(0))
    return Group(place)


def _device(local: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", local % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


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

    def share(self, count: int) -> range:
        return range(count)

    def sum(self, values: Tensor) -> Tensor:
        return values

    def gather(self, value: Tensor) -> list[float]:
        return [float(value)]

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


class Group:
    """Ranks that exchange gradients by NCCL on GPUs, by gloo elsewhere."""

    def __init__(self, place: Place) -> None:
        self.rank, self.world = place.rank, place.world
        self.device = _device(place.local or 0)
        store = dist.TCPStore(place.host, place.port, self.world, self.rank == 0, JOIN)  # type: ignore[attr-defined]
        self._store = store
        self._place = place
        backend = "nccl" if self.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.world, timeout=JOIN)
        self._gradients = cast(dist.ProcessGroup, dist.new_group(timeout=STEP))
        # A group of its own, so that agreements may overlap with steps.
        self._words = cast(dist.ProcessGroup, dist.new_group(timeout=STEP, backend="gloo"))
        self._word = torch.zeros((), dtype=torch.int64)
        self._pending: dist.Work | None = None
        self._step, self._every = 0, 1

    def wrap(self, model: nn.Module) -> nn.Module:
        ddp = nn.parallel.DistributedDataParallel
        known = inspect.signature(ddp).parameters  # torch 2.15 renames it, and warns of the old name
        quiet: dict[str, Any] = {
            "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False
        }
        return ddp(model, process_group=self._gradients, gradient_as_bucket_view=True, **quiet)

    def settle(self, passes: Callable[[], None]) -> None:
        # After its first backward pass DDP rebuilds its buckets, and sums come in another order: a resumed
        # process would differ for one step from an undisturbed one.
        passes()
        start = time.monotonic()
        passes()
        seconds = torch.tensor(time.monotonic() - start)
        dist.broadcast(seconds, 0, group=self._words)  # how often they agree must be the same on all ranks
        self._every = max(1, min(64, int(RESPONSE / float(seconds))))

    def agree(self, wish: Wish) -> Wish:
        # Asked for at one step and read some steps later, so that no step waits for the slowest rank's word.
        self._step += 1
        if self._step % self._every:
            return Wish.GO
        agreed = self._agreed()
        self._word.fill_(Wish.GO if agreed is wish else wish)
        self._pending = dist.all_reduce(self._word, dist.ReduceOp.MAX, group=self._words, async_op=True)
        return agreed

    def _agreed(self) -> Wish:
        if self._pending is None:
            return Wish.GO
        self._pending.wait()
        self._pending = None
        return Wish(int(self._word))

    def share(self, count: int) -> range:
        return range(self.rank * count // self.world, (self.rank + 1) * count // self.world)

    def sum(self, values: Tensor) -> Tensor:
        dist.all_reduce(values, group=self._gradients)
        return values

    def gather(self, value: Tensor) -> list[float]:
        mine = value.detach().cpu().reshape(1)
        found = [torch.zeros_like(mine) for _ in range(self.world)]
        dist.all_gather(found, mine, group=self._words)
        return [float(one) for one in found]

    def collect(self, values: Tensor) -> Tensor:
        counts = [int(count) for count in self.gather(torch.tensor(float(len(values))))]
        padded = values.new_zeros((max(counts), *values.shape[1:]))
        padded[: len(values)] = values
        found = [torch.zeros_like(padded) for _ in counts]
        dist.all_gather(found, padded, group=self._gradients)
        return torch.cat([part[:count] for part, count in zip(found, counts, strict=True)])

    def tell(self, word: str) -> None:
        with contextlib.suppress(RuntimeError):  # rank 0, who keeps the words, may be gone
            self._store.compare_set(FAILED, "", word)

    def heard(self) -> str:
        return self._store.get(FAILED).decode() if self._store.check([FAILED]) else ""

    def listen(self, answer: Callable[[str], None]) -> None:
        threading.Thread(target=self._listen, args=[answer], name="listener", daemon=True).start()

    def _listen(self, answer: Callable[[str], None]) -> None:
        # A client of its own: a store answers one thread at a time.
        with contextlib.suppress(RuntimeError):  # the end of rank 0 ends the store, too
            place = self._place
            store = dist.TCPStore(place.host, place.port, self.world, False, JOIN)  # type: ignore[attr-defined]
            while not store.check([FAILED]):
                time.sleep(EAR)
            answer(store.get(FAILED).decode())

    def spread(self, data: bytes | None) -> bytes | None:
        box = [data]
        dist.broadcast_object_list(box, 0, group=self._words)
        return box[0]

    def align(self, model: nn.Module) -> None:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0, group=self._gradients)

    def leave(self) -> None:
        self._agreed()
        dist.destroy_process_group()
