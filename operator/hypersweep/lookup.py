"""Slow reads off a pass's thread: asked for once or every so often, and the sweep is woken by the answer."""

import logging
import time
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import Executor
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

from hypersweep.kube import KubeError
from hypersweep.store import StoreError

T = TypeVar("T")

FIRST_RETRY = 1.0  # seconds
LONGEST_RETRY = 30.0

log = logging.getLogger(__name__)


@dataclass
class _Lookup:
    due: float | None  # when to read (again)
    flying: bool = False
    answered: bool = False
    answer: Any = None
    failures: int = 0


class Lookups:
    """The reads of one sweep, each known by a key, at most one of a key under way."""

    def __init__(self, wake: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._wake = wake
        self._clock = clock
        self._lock = Lock()
        self._lookups: dict[Hashable, _Lookup] = {}

    def ask(
        self,
        pool: Executor,
        key: Hashable,
        read: Callable[[], T],
        *,
        after: float = 0.0,
        every: float | None = None,
    ) -> T | None:
        """The latest answer, None before there is one; starts a read when one is due.

        A failed read is no answer: it is repeated, ever more slowly. The sweep is woken by the first
        answer, by the first that is not empty, and by a failure.
        """
        with self._lock:
            now = self._clock()
            lookup = self._lookups.setdefault(key, _Lookup(now + after))
            overdue = lookup.due is not None and lookup.due <= now
            start = overdue and not lookup.flying
            if overdue:  # also while one is under way: whoever waits for `due` must not spin
                lookup.flying, lookup.due = True, None if every is None else now + every
            answer: T | None = lookup.answer
        if start:
            pool.submit(self._read, lookup, read)
        return answer

    def answer(self, key: Hashable) -> Any:
        """The latest answer, without asking."""
        with self._lock:
            return self._lookups[key].answer if key in self._lookups else None

    def fails(self, key: Hashable) -> bool:
        """Whether the latest read failed."""
        with self._lock:
            return key in self._lookups and self._lookups[key].failures > 0

    def keep(self, keys: Collection[Hashable]) -> None:
        """Forget every other key: what is under way for it then answers nobody."""
        with self._lock:
            for key in set(self._lookups) - set(keys):
                del self._lookups[key]

    @property
    def due(self) -> float | None:
        """When the next read has to be asked for, on this object's clock."""
        with self._lock:
            return min((each.due for each in self._lookups.values() if each.due is not None), default=None)

    def _read(self, lookup: _Lookup, read: Callable[[], T]) -> None:
        try:
            answer = read()
        except (StoreError, KubeError) as error:
            log.warning("read failed, again in %.0f s: %s", self._failed(lookup), error)
            return
        except Exception:
            log.exception("read failed, again in %.0f s", self._failed(lookup))
            return
        with self._lock:
            news = not lookup.answered or (bool(answer) and not lookup.answer)
            lookup.flying, lookup.answered, lookup.answer, lookup.failures = False, True, answer, 0
        if news:
            self._wake()

    def _failed(self, lookup: _Lookup) -> float:
        """Put the next read off; returns the seconds until then."""
        with self._lock:
            lookup.failures += 1
            wait = min(FIRST_RETRY * 2.0 ** min(lookup.failures - 1, 10), LONGEST_RETRY)
            lookup.flying, lookup.due = False, self._clock() + wait
        self._wake()
        return wait
