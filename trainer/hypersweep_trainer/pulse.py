"""Signs of life of the ranks and their last words, by which those that are left know what has happened."""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from hypersweep_trainer.config import Place

FAILED = "failed"  # where a rank leaves its last word
EAR = 0.5  # seconds between two looks for it, with a sign of life each
INTERVAL = 0.1  # seconds between two looks at the others
NOTICE = 5.0  # seconds in which a rank notices by itself that another one has failed
QUIET = 4.0  # seconds without a sign of life after which a rank is lost


class Shared(Protocol):
    """What is needed of the store that all ranks share: a part of torch's TCPStore."""

    def add(self, key: str, amount: int, /) -> int:
        """The count below a key after adding to it."""

    def check(self, keys: list[str], /) -> bool:
        """Whether there are all of these."""

    def get(self, key: str, /) -> bytes:
        """What lies below a key."""

    def compare_set(self, key: str, expected: str, wanted: str, /) -> bytes:
        """Put something below a key that holds what is expected; below a new one for an empty text."""


def shared(place: Place, patience: timedelta, *, keeps: bool) -> Store:
    """A client of the store through which the ranks meet, and the store itself for the one who `keeps` it."""
    found: Store = dist.TCPStore(  # type: ignore[attr-defined]  # torch exports it, its stubs do not
        place.host, place.port, place.world, keeps, patience
    )
    return found


def beat(store: Shared, rank: int) -> None:
    """Leave a sign of life, the oftener than QUIET the better."""
    store.add(_key(rank), 1)


def silent(store: Shared, ranks: Sequence[int]) -> list[int]:
    """Those that leave no sign of life any more; a moment for ranks that all live, QUIET for others."""
    before = {rank: store.add(_key(rank), 0) for rank in ranks}
    deadline, waiting = time.monotonic() + QUIET, [*ranks]
    while waiting and time.monotonic() < deadline:
        time.sleep(INTERVAL)
        waiting = [rank for rank in waiting if store.add(_key(rank), 0) == before[rank]]
    return waiting


def lost(ranks: Sequence[int]) -> str:
    """That they are gone, in words."""
    if len(ranks) == 1:
        return f"rank {ranks[0]} was lost"
    return f"ranks {', '.join(map(str, ranks))} were lost"


class Words:
    """The last word of the rank that failed first, in the store that all ranks share and rank 0 keeps."""

    def __init__(self, store: Shared, place: Place, patience: timedelta) -> None:
        self._store, self._place, self._patience = store, place, patience
        self._over = threading.Event()  # whether this rank is about to end by itself

    def tell(self, word: str) -> None:
        """Leave it; see `Ranks`."""
        self.end()
        with suppress(RuntimeError):  # rank 0 may be gone
            if not self._store.check([FAILED]):
                self._store.compare_set(FAILED, "", self._others() or word)

    def end(self) -> None:
        """Answer no word any more: this rank knows, or is done."""
        self._over.set()

    def _others(self) -> str:
        """That ranks are gone, where this one fails as it would then: gloo raises bare RuntimeErrors."""
        error = sys.exception()
        if type(error) is not RuntimeError and not isinstance(error, dist.DistError):
            return ""
        found = silent(self._store, [rank for rank in range(self._place.world) if rank != self._place.rank])
        return lost(found) if found else ""

    def heard(self) -> str:
        """It, or nothing."""
        try:
            return self._store.get(FAILED).decode() if self._store.check([FAILED]) else ""
        except RuntimeError:
            return lost([0])

    def listen(self, answer: Callable[[str], None]) -> None:
        """Show that this rank lives, on a thread; answer a word that it does not notice by itself."""
        threading.Thread(target=self._listen, args=[answer], name="listener", daemon=True).start()

    def _listen(self, answer: Callable[[str], None]) -> None:
        # A client of its own: a store answers one thread at a time.
        with suppress(RuntimeError):  # the end of rank 0 ends the store, too
            place = self._place
            store = shared(place, self._patience, keeps=False)
            while not store.check([FAILED]):
                beat(store, place.rank)
                time.sleep(EAR)
            word = store.get(FAILED).decode()
            if not self._over.wait(NOTICE):
                answer(word)


def _key(rank: int) -> str:
    return f"beat/{rank}"
