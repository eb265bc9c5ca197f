"""Rows of images that are finished when they are taken, from bytes on the device or from files."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

AHEAD = 64  # images that are read ahead at least


class Images(Protocol):
    """Images of one part, all of one size, as bytes or as floats from 0 to 1."""

    def __len__(self) -> int:
        """Images."""

    def select(self, rows: Tensor) -> Tensor:
        """Those of some rows, (len(rows), channels, height, width), on the device."""

    def hint(self, order: Tensor) -> None:
        """Which rows will be selected from now on, in which order; nothing but speed depends on it."""


@dataclass(frozen=True)
class Finished:
    """Rows that are made of images whenever they are taken: bytes need a quarter of the memory of floats."""

    images: Images
    y: Tensor | None  # None where the image itself is the target
    finish: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        x = self.finish(self.images.select(rows))
        return x, x if self.y is None else self.y.index_select(0, rows)

    def hint(self, order: Tensor) -> None:
        self.images.hint(order)


@dataclass(frozen=True)
class Held:
    """Images that lie on the device as a whole."""

    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def select(self, rows: Tensor) -> Tensor:
        return self.x.index_select(0, rows)

    def hint(self, order: Tensor) -> None:
        pass


class Streamed:
    """Images that are decoded when a batch wants them, by threads that read ahead of it once they had a hint.

    With 0 workers the thread that wants them decodes them itself.
    """

    def __init__(self, count: int, read: Callable[[int], Tensor], device: torch.device, workers: int) -> None:
        self._count, self._read, self._device = count, read, device  # read(row): (channels, height, width)
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._images: dict[int, Future[Tensor]] = {}  # decoded, or about to be
        self._ahead: set[int] = set()  # those that no batch has taken yet
        self._taken: dict[int, None] = {}  # the others, in the order in which they were taken
        self._next: Iterator[int] = iter(())
        self._window = AHEAD

    def __len__(self) -> int:
        return self._count

    def hint(self, order: Tensor) -> None:
        if self._pool is None:
            return
        for row in self._ahead:
            self._images.pop(row).cancel()
        self._ahead.clear()
        self._next = iter(order.tolist())
        self._read_ahead()

    def select(self, rows: Tensor) -> Tensor:
        images = self._decoded(rows.tolist())
        if self._device.type == "cuda":
            images = images.pin_memory()
        return images.to(self._device, non_blocking=True)

    def _decoded(self, rows: Sequence[int]) -> Tensor:
        if self._pool is None:
            return torch.stack([self._read(row) for row in rows])
        self._window = max(self._window, 2 * len(rows))
        for row in rows:
            self._start(row)
        images = torch.stack([self._images[row].result() for row in rows])
        self._forget(rows)
        self._read_ahead()
        return images

    def _start(self, row: int) -> None:
        if row not in self._images:
            assert self._pool is not None
            self._images[row] = self._pool.submit(self._read, row)

    def _read_ahead(self) -> None:
        for row in islice(self._next, self._window - len(self._ahead)):
            self._start(row)
            self._taken.pop(row, None)
            self._ahead.add(row)

    def _forget(self, rows: Sequence[int]) -> None:
        """Keep what was taken last: a batch may ask for the same rows again, to blend them."""
        for row in rows:
            self._ahead.discard(row)
            self._taken.pop(row, None)
            self._taken[row] = None
        for row in list(islice(self._taken, max(len(self._taken) - self._window, 0))):
            del self._taken[row], self._images[row]


def free(device: torch.device) -> int:
    """Bytes of memory that are left: on the GPU, or on this machine and within its container's limit."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = int(_fields(meminfo)["MemAvailable:"]) * 1024
    group = Path("/sys/fs/cgroup")
    limit = group / "memory.max"
    if not limit.exists() or limit.read_text().strip() == "max":
        return available
    cache = int(_fields(group / "memory.stat")["inactive_file"])  # given back when memory is short
    used = int((group / "memory.current").read_text()) - cache
    return min(available, int(limit.read_text()) - used)


def _fields(file: Path) -> dict[str, str]:
    """The second word of each line by its first."""
    return {words[0]: words[1] for line in file.read_text().splitlines() if (words := line.split())}
