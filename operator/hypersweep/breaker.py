"""Keeps a pass from waiting for a store that does not answer, once per endpoint."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from hypersweep.store import Store, StoreError, StoreRefused, Taken

FAILURES = 3
DELAY = 15.0  # seconds


class Breaker:
    """Opens after consecutive failures; after a delay one call is let through, whose end decides."""

    def __init__(
        self, failures: int = FAILURES, delay: float = DELAY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures = failures
        self._delay = delay
        self._clock = clock
        self._lock = Lock()
        self._failed = 0
        self._until = 0.0
        self._last: StoreError | None = None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Run one store call; raises StoreError at once while open."""
        self._enter()
        try:
            yield
        except (StoreRefused, Taken):
            self._close()  # it answered: what is wrong is one key, or one bucket or its credentials
            raise
        except StoreError as error:
            self._fail(error)
            raise
        else:
            self._close()

    def _enter(self) -> None:
        with self._lock:
            now = self._clock()
            if self._failed < self._failures:
                return
            if now < self._until:
                raise StoreError(f"not asked for another {self._until - now:.0f} s after: {self._last}")
            self._until = now + self._delay  # this call is the only one until its end is known

    def _fail(self, error: StoreError) -> None:
        with self._lock:
            self._failed += 1
            self._until = self._clock() + self._delay
            self._last = error

    def _close(self) -> None:
        with self._lock:
            self._failed = 0


class GuardedStore:
    """A store behind the breaker of its endpoint."""

    def __init__(self, store: Store, breaker: Breaker) -> None:
        self.url = store.url
        self._store = store
        self._breaker = breaker

    def read(self, key: str, limit: int | None = None) -> bytes | None:
        with self._breaker.call():
            return self._store.read(key, limit)

    def write(self, key: str, data: bytes) -> None:
        with self._breaker.call():
            self._store.write(key, data)

    def write_once(self, key: str, data: bytes) -> None:
        with self._breaker.call():
            self._store.write_once(key, data)

    def list(self, prefix: str = "", after: str = "") -> Iterator[str]:
        with self._breaker.call():
            keys = [*self._store.list(prefix, after)]
        yield from keys

    def delete(self, key: str) -> None:
        with self._breaker.call():
            self._store.delete(key)
