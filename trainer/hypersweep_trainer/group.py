"""Ranks that train together under DistributedDataParallel."""

import inspect
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hypersweep_trainer.config import Place
from hypersweep_trainer.meeting import Meeting
from hypersweep_trainer.pulse import Words, shared
from hypersweep_trainer.rank import Wish, copied

JOIN = timedelta(minutes=30)  # until all ranks are there: pods may start apart
PREPARATION = timedelta(days=1)  # for the data of one that another has at hand; who dies is noticed by then
STEP = timedelta(minutes=2)  # the longest that a rank waits for the others at a step
RESPONSE = 0.1  # seconds between two agreements of the ranks


class Group:
    """Ranks that exchange gradients by NCCL on GPUs, by gloo elsewhere."""

    def __init__(self, place: Place, device: torch.device) -> None:
        self.rank, self.world = place.rank, place.world
        self.device = device
        store = shared(place, JOIN, keeps=self.rank == 0)
        self._last = Words(store, place, JOIN)
        backend = "nccl" if self.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.world, timeout=STEP)
        self._gradients = cast(dist.ProcessGroup, dist.new_group(timeout=STEP))
        # A group of its own, so that agreements may overlap with steps.
        self._words = cast(dist.ProcessGroup, dist.new_group(timeout=STEP, backend="gloo"))
        self._meeting = Meeting(store, PREPARATION)
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

    def asked(self, own: bool) -> bool:
        return self._meeting.asked(own)

    def meet(self, asked: Callable[[], bool]) -> bool:
        return self._meeting.meet(asked)

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

    def total(self, value: Tensor) -> Callable[[], float]:
        found = value.detach().clone()
        if self.device.type == "cuda":
            dist.all_reduce(found, group=self._gradients)  # the stream waits, the host does not
            return copied(found)
        work = dist.all_reduce(found, group=self._words, async_op=True)

        def summed() -> float:
            work.wait()
            return float(found)

        return summed

    def collect(self, values: Tensor) -> Tensor:
        counts = [int(count) for count in self.gather(torch.tensor(len(values), dtype=torch.float64))]
        padded = values.new_zeros((max(counts), *values.shape[1:]))
        padded[: len(values)] = values
        found = [torch.zeros_like(padded) for _ in counts]
        dist.all_gather(found, padded, group=self._gradients)
        return torch.cat([part[:count] for part, count in zip(found, counts, strict=True)])

    def tell(self, word: str) -> None:
        self._last.tell(word)

    def heard(self) -> str:
        return self._last.heard()

    def listen(self, answer: Callable[[str], None]) -> None:
        self._last.listen(answer)

    def spread(self, data: bytes | None) -> bytes | None:
        box = [data]
        dist.broadcast_object_list(box, 0, group=self._words)
        return box[0]

    def align(self, model: nn.Module) -> None:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0, group=self._gradients)

    def leave(self) -> None:
        self._last.end()
        self._agreed()
        dist.destroy_process_group()
