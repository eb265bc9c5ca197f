"""Where ranks wait for each other before training, however long, and hear of a wish to stop."""

import contextlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, cast

import torch
import torch.distributed as dist

STOPPED = "stopped"  # what is there once a rank was asked to stop
HEARD = 0.1  # seconds between two looks for it
BREATH = 0.002  # seconds between two looks for the others


class Board(Protocol):
    """What is needed of the store that the ranks share."""

    def set(self, key: str, value: str, /) -> None:
        """Leave a value below a key."""

    def check(self, keys: list[str], /) -> bool:
        """Whether there is something below all of them."""


class Meeting:
    """One rank's part in it."""

    def __init__(self, store: Board, patience: timedelta) -> None:
        self._store = store
        self._group = cast(dist.ProcessGroup, dist.new_group(timeout=patience, backend="gloo"))
        self._asked, self._due = False, 0.0

    def asked(self, own: bool) -> bool:
        """Whether this rank was asked to stop, or one that said so."""
        if self._asked or not (own or time.monotonic() >= self._due):
            return self._asked
        self._asked, self._due = own, time.monotonic() + HEARD
        with contextlib.suppress(RuntimeError):  # rank 0, who keeps the word, may be gone
            if own:
                self._store.set(STOPPED, "")
            else:
                self._asked = self._store.check([STOPPED])
        return self._asked

    def meet(self, asked: Callable[[], bool]) -> bool:
        """Whether any rank was asked to stop, once all are here; the same on each."""
        word = torch.tensor(int(asked()))
        work = dist.all_reduce(word, dist.ReduceOp.MAX, group=self._group, async_op=True)
        while not work.is_completed():
            asked()  # so that those who are not here yet hear of it
            time.sleep(BREATH)
        work.wait()
        return bool(word)
