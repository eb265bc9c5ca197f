"""Keys that wait for a pass: each at most once, never in two passes at a time, now or at a moment to come."""

import time
from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from threading import Condition
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A key added while its pass runs waits for another one: no change is missed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = Condition()
        self._ready: dict[K, float] = {}  # since when, in the order of arrival
        self._busy: set[K] = set()
        self._later: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0
        self._closed = False
        self.retries = 0

    def add(self, key: K) -> None:
        with self._changed:
            self._ready.setdefault(key, self._clock())
            self._changed.notify()

    def add_at(self, key: K, moment: float) -> None:
        """Add the key at a moment of the clock; of several moments the earliest counts."""
        with self._changed:
            if moment >= self._later.get(key, moment + 1):
                return
            self._later[key] = moment
            self._serial += 1  # so that keys of equal moments are never compared
            heappush(self._heap, (moment, self._serial, key))
            self._changed.notify()

    def retry_at(self, key: K, moment: float) -> None:
        """Add the key at a moment, after a pass that failed."""
        with self._changed:
            self.retries += 1
        self.add_at(key, moment)

    def get(self) -> K | None:
        """The next key, which is busy until `done`; None once closed."""
        with self._changed:
            while not self._closed:
                wait = self._ripen()
                for key in self._ready:
                    if key not in self._busy:
                        del self._ready[key]
                        self._busy.add(key)
                        return key
                self._changed.wait(wait)
            return None

    def done(self, key: K) -> None:
        with self._changed:
            self._busy.discard(key)
            if key in self._ready:
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def depth(self) -> int:
        """How many keys wait for a pass that is due."""
        with self._changed:
            self._ripen()
            return len(self._ready)

    @property
    def oldest(self) -> float:
        """For how many seconds the first key has been waiting, one in a pass aside."""
        with self._changed:
            waiting = (since for key, since in self._ready.items() if key not in self._busy)
            return max(0.0, self._clock() - min(waiting, default=self._clock()))

    def _ripen(self) -> float | None:
        """Move what is due to the ready keys; the seconds until the next one is."""
        now = self._clock()
        while self._heap:
            moment, _, key = self._heap[0]
            if self._later.get(key) != moment:
                heappop(self._heap)  # an earlier moment of the key came first
            elif moment > now:
                return moment - now
            else:
                heappop(self._heap)
                del self._later[key]
                self._ready.setdefault(key, now)
        return None
