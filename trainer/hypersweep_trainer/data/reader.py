"""Rows that are read one by one, from files or a data set of the user's own, by threads that read ahead."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import torch
from torch import Tensor

AHEAD = 64  # rows that are read ahead at least


class Reader:
    """Rows that are read when a batch wants them, ahead of it once there was a hint.

    With 0 workers the thread that wants them reads them itself.
    """

    device = torch.device("cpu")

    def __init__(
        self, read: Callable[[int], Tensor], shape: tuple[int, ...], dtype: torch.dtype, workers: int
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._read = read  # a row by its number
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._rows: dict[int, Future[Tensor]] = {}  # read, or about to be
        self._ahead: set[int] = set()  # those that no batch has taken yet
        self._taken: dict[int, None] = {}  # the others, in the order in which they were taken
        self._next: Iterator[int] = iter(())
        self._window = AHEAD

    def hint(self, order: Tensor) -> None:
        if self._pool is None:
            return
        for row in self._ahead:
            self._rows.pop(row).cancel()
        self._ahead.clear()
        self._next = iter(order.tolist())
        self._read_ahead()

    def select(self, rows: Tensor) -> Tensor:
        if not len(rows):
            return torch.empty(0, *self.shape[1:], dtype=self.dtype)
        return self._selected(rows.tolist())

    def _selected(self, rows: Sequence[int]) -> Tensor:
        if self._pool is None:
            return torch.stack([self._read(row) for row in rows])
        self._window = max(self._window, 2 * len(rows))
        for row in rows:
            self._start(row)
        try:
            found = torch.stack([self._rows[row].result() for row in rows])
        except BaseException:
            self._drop(rows)  # what failed once may be there the next time
            raise
        self._forget(rows)
        self._read_ahead()
        return found

    def _start(self, row: int) -> None:
        if row not in self._rows:
            assert self._pool is not None
            self._rows[row] = self._pool.submit(self._read, row)

    def _read_ahead(self) -> None:
        for row in islice(self._next, self._window - len(self._ahead)):
            self._start(row)
            self._taken.pop(row, None)
            self._ahead.add(row)

    def _drop(self, rows: Sequence[int]) -> None:
        for row in rows:
            self._rows.pop(row, None)
            self._ahead.discard(row)
            self._taken.pop(row, None)

    def _forget(self, rows: Sequence[int]) -> None:
        """Keep what was taken last: a batch may ask for the same rows again, to blend them."""
        for row in rows:
            self._ahead.discard(row)
            self._taken.pop(row, None)
            self._taken[row] = None
        for row in list(islice(self._taken, max(len(self._taken) - self._window, 0))):
            del self._taken[row], self._rows[row]
