"""What the attempts of one sweep left or are doing, read off the pass's thread: store, pods, events."""

import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from hypersweep import evidence, pods
from hypersweep.evidence import Progress, Report
from hypersweep.kube import EVENTS, PODS, Kube
from hypersweep.lookup import Lookups
from hypersweep.pods import Pod
from hypersweep.runner import Key
from hypersweep.store import Store

T = TypeVar("T")

FIRST_PROGRESS = 3.0  # seconds between two reads until there is one: other trials may wait for it
PROGRESS = 10.0
LOOK = 30.0  # between two looks at the pods of an attempt that does not start, or does not end


@dataclass(frozen=True)
class Pools:
    """A store that hangs must not hold up what the API server answers, so each has its threads."""

    kube: Executor
    store: Executor


class Witness:
    """Asks for each thing at most once, or every so often; None means that the answer is not here yet."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        store: Store | None,
        pools: Pools,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._store = store
        self._pools = pools
        self._lookups = Lookups(wake, clock)
        self._asked: set[Hashable] = set()

    @property
    def due(self) -> float | None:
        """When something has to be asked for again, on the monotonic clock."""
        return self._lookups.due

    def settle(self) -> None:
        """Forget what was not asked for since the last call."""
        self._lookups.keep(self._asked)
        self._asked = set()

    def pods(self, uid: str, why: str, *, after: float = 0.0, every: float | None = None) -> list[Pod] | None:
        """The pods that a Job controls, by its uid: another Job may have had its name."""

        def read() -> list[Pod]:
            selector = f"{pods.CONTROLLER}={uid}"
            found = self._kube.list(PODS, self._namespace, labelSelector=selector)["items"]
            return [pods.parse(document) for document in found]

        return self._ask(self._pools.kube, (why, uid), read, after, every)

    def refusal(self, uid: str) -> str:
        """Why no pod of a Job was created: a quota, an admission policy."""

        def read() -> dict[str, str]:
            # one request for all Jobs: the API server has no cache of Events, it reads and filters them all
            selector = "involvedObject.kind=Job,reason=FailedCreate"
            found = self._kube.list(EVENTS, self._namespace, fieldSelector=selector)["items"]
            return {event["involvedObject"]["uid"]: str(event.get("message") or "") for event in found}

        told = self._ask(self._pools.kube, "refusals", read, 0.0, LOOK) or {}
        return told.get(uid, "")

    def report(self, key: Key, uid: str) -> Report | None:
        """What an attempt says of its end; ask only after its end was seen."""
        store = self._store
        if store is None:
            return Report()
        return self._ask(
            self._pools.store, ("report", key, uid), lambda: evidence.report(store, key), 0.0, None
        )

    def progress(self, key: Key, uid: str) -> Progress:
        """The latest progress of a running attempt."""
        store = self._store
        if store is None:
            return Progress()
        question = _progress(key, uid)
        every = PROGRESS if self._lookups.answer(question) else FIRST_PROGRESS
        found = self._ask(
            self._pools.store, question, lambda: evidence.progress(store, key), FIRST_PROGRESS, every
        )
        return found or Progress()

    def is_blind(self, key: Key, uid: str) -> bool:
        """Whether progress cannot be read at present: nobody knows then whether there is any."""
        return self._lookups.fails(_progress(key, uid))

    def last_progress(self, key: Key, uid: str) -> Progress | None:
        """The progress that an attempt had made when it ended."""
        store = self._store
        if store is None:
            return Progress()
        return self._ask(
            self._pools.store, ("end", key, uid), lambda: evidence.progress(store, key), 0.0, None
        )

    def _ask(
        self, pool: Executor, question: Hashable, read: Callable[[], T], after: float, every: float | None
    ) -> T | None:
        self._asked.add(question)
        return self._lookups.ask(pool, question, read, after=after, every=every)


def _progress(key: Key, uid: str) -> Hashable:
    return ("progress", key, uid)


def disturbed(found: Sequence[Pod]) -> bool:
    """Whether what looks like an error was done to the pods from outside."""
    return not found or any(pod.deleting for pod in found)
