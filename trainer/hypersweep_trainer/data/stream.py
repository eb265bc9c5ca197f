"""Rows as they are kept, on the device or on this machine, and straightened when they are taken."""

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.data.raw import Resident, Rows
from hypersweep_trainer.data.room import Room

CHUNK = 1 << 24  # bytes that are brought to the device at a time
AHEAD = 2  # batches that are brought to the device before they are wanted
HOST = torch.device("cpu")

Pair = tuple[Tensor, Tensor]
Straighten = Callable[..., Pair]  # what is kept of some rows, one tensor a source -> inputs and targets


class Source(Protocol):
    """Something of each row of a part, as small as it can be kept."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows together, (n, …)."""

    @property
    def dtype(self) -> torch.dtype:
        """Of what is kept."""

    @property
    def device(self) -> torch.device:
        """Where it lies, and the numbers of rows with it."""

    def select(self, rows: Tensor) -> Tensor:
        """That of some rows (len(rows), …), on the source's device."""

    def hint(self, order: Tensor) -> None:
        """Which rows will be selected from now on, in which order; nothing but speed depends on it."""


@dataclass(frozen=True)
class Held:
    """Rows in memory: all of `x`, or those at some `places` of it, without a copy."""

    x: Tensor
    places: Tensor | None = None  # (n,) int64

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape) if self.places is None else (len(self.places), *self.x.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        return self.x.dtype

    @property
    def device(self) -> torch.device:
        return self.x.device

    def select(self, rows: Tensor) -> Tensor:
        return self.x.index_select(0, rows if self.places is None else self.places.index_select(0, rows))

    def hint(self, order: Tensor) -> None:
        pass


def size(source: Source) -> int:
    """Bytes of all rows."""
    return math.prod(source.shape) * source.dtype.itemsize


def tensor(values: NDArray[Any]) -> Tensor:
    """An array without a copy; nothing is ever written to it, so that it may lie in a file that is mapped."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(values)


def identity(x: Tensor) -> Tensor:
    """Rows as they are."""
    return x


def pair(finish: Callable[[Tensor], Tensor] = identity) -> Straighten:
    """Inputs are finished; targets come as they are, or are the inputs where there are none."""

    def straighten(x: Tensor, y: Tensor | None = None) -> Pair:
        x = finish(x)
        return x, x if y is None else y

    return straighten


@dataclass(frozen=True)
class Placed:
    """What is kept of the rows of a part, and where it was found that there is room for it."""

    sources: Sequence[Source]
    near: bool  # on the device, at the latest once they are straightened
    good: bool  # straightened for good

    def rows(self, straighten: Straighten, device: torch.device) -> Rows:
        """The rows, from then on."""
        if not self.near:
            return Streamed(self.sources, straighten, device)
        if self.good:
            return finished(self.sources, straighten, device)
        return Finished(self.sources, straighten)


def placed(sources: Sequence[Source], good: int | None, room: Room, device: torch.device) -> Placed:
    """Sources on this machine, brought to the device if they fit; `good` are the bytes of straightened rows.

    What changes whenever it is taken, and so has no such bytes, is never straightened for good.
    """
    if good is not None and room.takes(good):  # what is read row by row, also by statistics, is read once
        kept = [source if isinstance(source, Held) else near(source, device) for source in sources]
        return Placed(kept, near=True, good=True)
    if room.takes(sum(map(size, sources))):
        return Placed([near(source, device) for source in sources], near=True, good=False)
    return Placed(sources, near=False, good=False)


def laid(
    sources: Sequence[Source], straighten: Straighten, good: int, room: Room, device: torch.device
) -> Rows:
    """Rows of sources on this machine, where there is room for them."""
    return placed(sources, good, room, device).rows(straighten, device)


def near(source: Source, device: torch.device) -> Held:
    """All rows of a source on this machine, on the device."""
    if isinstance(source, Held) and source.places is None and source.device == device:
        return source
    found = torch.empty(source.shape, dtype=source.dtype, device=device)
    order = torch.arange(source.shape[0])
    source.hint(order)
    for rows, place in zip(chunks(order, source), chunks(found, source), strict=True):
        place.copy_(source.select(rows))
    return Held(found)


def chunks(rows: Tensor, source: Source) -> Sequence[Tensor]:
    """Rows of a source, or their numbers, in pieces that memory has room for."""
    return torch.split(rows, max(1, CHUNK * source.shape[0] // max(size(source), 1)))


def finished(sources: Sequence[Source], straighten: Straighten, device: torch.device) -> Resident:
    """Rows straightened for good on the device, which never holds more than a chunk of them twice."""
    order = torch.arange(sources[0].shape[0])

    def kept(rows: Tensor) -> list[Tensor]:
        return [source.select(rows.to(source.device)).to(device) for source in sources]

    first = kept(order[:1])
    x, y = straighten(*first)
    if x is first[0]:  # they are straight
        return Resident(*straighten(*(near(source, device).x for source in sources)))
    example = [x] if y is x else [x, y]
    found = [torch.empty(len(order), *one.shape[1:], dtype=one.dtype, device=device) for one in example]
    count = max(1, CHUNK // max(first[0].nbytes, x.nbytes, 1))
    for rows, *places in zip(*(torch.split(one, count) for one in (order, *found)), strict=True):
        for place, one in zip(places, straighten(*kept(rows)), strict=False):  # x once where it is y, too
            place.copy_(one)
    return Resident(found[0], found[-1])


class Finished:
    """Rows on the device that are straightened whenever they are taken: bytes need a quarter of floats."""

    def __init__(self, sources: Sequence[Source], straighten: Straighten) -> None:
        self.sources, self._straighten = sources, straighten

    @property
    def device(self) -> torch.device:
        return self.sources[0].device

    def __len__(self) -> int:
        return self.sources[0].shape[0]

    def take(self, rows: Tensor) -> Pair:
        return self._straighten(*(source.select(rows) for source in self.sources))

    def hint(self, batches: Iterable[Tensor]) -> None:
        pass


class Streamed:
    """Rows that lie on this machine and go to the device batch by batch, ahead of training once it said how.

    Batches are gathered, pinned and copied by a thread and, on a GPU, a CUDA stream of their own: neither
    the host nor the device waits for them, if they are taken as the hint said.
    """

    device = HOST  # row numbers that lie elsewhere are waited for

    def __init__(self, sources: Sequence[Source], straighten: Straighten, device: torch.device) -> None:
        self._sources, self._straighten, self._device = sources, straighten, device
        self._side: Any = None  # the CUDA stream that copies
        begin = None
        if device.type == "cuda":
            self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            begin = partial(torch.cuda.set_device, self._side.device)
        self._thread = ThreadPoolExecutor(1, "rows", begin)
        self._coming: deque[Tensor] = deque()  # the rows of the batches that were hinted and not yet taken
        self._ahead: deque[Future[Sent]] = deque()  # the first of these batches

    def __len__(self) -> int:
        return self._sources[0].shape[0]

    def hint(self, batches: Iterable[Tensor]) -> None:
        for sent in self._ahead:
            sent.cancel()
        self._ahead.clear()
        self._coming = deque(rows.to(HOST) for rows in batches)
        order = torch.cat([torch.arange(0), *self._coming])
        for source in self._sources:
            self._thread.submit(source.hint, order)
        self._look_ahead()

    def take(self, rows: Tensor) -> Pair:
        rows = rows.to(HOST)
        if not self._coming or not torch.equal(rows, self._coming[0]):  # out of turn, as a check is
            return self._straighten(*self._arrived(self._thread.submit(self._sent, rows)))
        self._coming.popleft()
        sent = self._ahead.popleft()
        self._look_ahead()
        return self._straighten(*self._arrived(sent))

    def _look_ahead(self) -> None:
        """Send the next batches."""
        for rows in islice(self._coming, len(self._ahead), AHEAD):
            self._ahead.append(self._thread.submit(self._sent, rows))

    def _sent(self, rows: Tensor) -> "Sent":
        found = [source.select(rows) for source in self._sources]
        if self._side is None:
            return Sent(found, None)
        with torch.cuda.stream(self._side):
            found = [one.pin_memory().to(self._device, non_blocking=True) for one in found]
            return Sent(found, self._side.record_event())

    def _arrived(self, sending: "Future[Sent]") -> Sequence[Tensor]:
        sent = sending.result()
        if sent.copied is not None:
            now = torch.cuda.current_stream(self._device)
            now.wait_event(sent.copied)
            for one in sent.tensors:
                one.record_stream(now)
        return sent.tensors


@dataclass(frozen=True)
class Sent:
    """A batch on its way to the device."""

    tensors: Sequence[Tensor]
    copied: Any  # the CUDA event after which it is there
