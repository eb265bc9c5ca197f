"""Writing to a store beside the training: in order, tried again until it works, never in a step's way."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from hypersweep.store import StoreError, Taken
from hypersweep_trainer.outage import PATIENCE, pauses
from hypersweep_trainer.stop import GLANCE

GRACE = 30.0  # seconds that a store which is away is waited for once somebody asks to stop: a pod has 60


class Writer:
    """A thread that does writes one after the other; a lost connection delays them and nothing else."""

    def __init__(self, say: Callable[[str], None], should_stop: Callable[[], bool] = lambda: False) -> None:
        self._say, self._should_stop = say, should_stop
        self._away = False  # whether the last try failed
        self._writes: deque[Callable[[], None]] = deque()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether everything handed in is written; who writes regularly skips a turn when it is not."""
        return not self._writes

    def put(self, write: Callable[[], None]) -> None:
        """Hand in a write; it runs after those before it."""
        with self._change:
            self._writes.append(write)
            self._change.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
            self._thread.start()

    def drain(self, patience: float = PATIENCE) -> bool:
        """Whether everything handed in was written before the patience ran out.

        There is less of it, GRACE, for a store that is away once somebody asks to stop.
        """
        end, hurry = time.monotonic() + patience, math.inf
        with self._change:
            while self._writes and time.monotonic() < (min(end, hurry) if self._away else end):
                if hurry == math.inf and self._should_stop():
                    hurry = time.monotonic() + GRACE
                self._change.wait(GLANCE)
            return not self._writes

    def close(self) -> None:
        """Stop the thread; what is not written by now never will be."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        again = pauses()
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closed or self._writes)
                if self._closed:
                    return
                write = self._writes[0]
            try:
                write()
            except StoreError as error:
                if self._closed:
                    return
                self._away, pause = True, next(again)
                self._say(f"the store did not take a write, trying again in {pause:g} s: {error}")
                with self._change:
                    self._change.wait_for(lambda: self._closed, pause)
                continue
            except Taken as error:
                self._say(f"left as it is: {error}")
            self._away, again = False, pauses()
            with self._change:
                self._writes.popleft()
                self._change.notify_all()
