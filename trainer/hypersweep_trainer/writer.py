"""Writing to a store beside the training: in order, tried again until it works, never in a step's way."""

import threading
from collections import deque
from collections.abc import Callable

from hypersweep.store import StoreError, Taken

PAUSE, LONGEST = 0.5, 30.0  # seconds before a write is tried again, doubled each time
PATIENCE = 600.0  # seconds that the end of a trial waits for its store


class Writer:
    """A thread that does writes one after the other; a lost connection delays them and nothing else."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
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
        """Whether everything handed in was written before the patience ran out."""
        with self._change:
            return self._change.wait_for(lambda: not self._writes, patience)

    def close(self) -> None:
        """Stop the thread; what is not written by now never will be."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        pause = PAUSE
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closed or self._writes)
                if self._closed:
                    return
                write = self._writes[0]
            try:
                write()
            except StoreError as error:
                self._say(f"the store did not take a write, trying again in {pause:g} s: {error}")
                with self._change:
                    self._change.wait_for(lambda: self._closed, pause)
                pause = min(2 * pause, LONGEST)
                continue
            except Taken as error:
                self._say(f"left as it is: {error}")
            pause = PAUSE
            with self._change:
                self._writes.popleft()
                self._change.notify_all()
