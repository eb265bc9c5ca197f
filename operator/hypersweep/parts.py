"""The threads that a process lives on: when one ends, all end."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)


class Parts:
    """Named threads; `stopping` is set by whoever wants the end, or by the first that dies."""

    def __init__(self, stopping: threading.Event) -> None:
        self.failure = ""  # which part died, and so ended the others
        self._stopping = stopping
        self._threads: dict[str, threading.Thread] = {}

    def start(self, name: str, body: Callable[[], object]) -> None:
        thread = threading.Thread(target=self._run, args=(name, body), name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    @property
    def dead(self) -> list[str]:
        return [name for name, thread in self._threads.items() if not thread.is_alive()]

    def join(self, names: Sequence[str], seconds: float) -> list[str]:
        """Wait for the end of these; those that did not end in time."""
        deadline = time.monotonic() + seconds
        threads = {name: self._threads[name] for name in names if name in self._threads}
        for thread in threads.values():
            thread.join(max(deadline - time.monotonic(), 0.0))
        return [name for name, thread in threads.items() if thread.is_alive()]

    def _run(self, name: str, body: Callable[[], object]) -> None:
        try:
            body()
        except BaseException:
            log.exception("%s died", name)
        if not self._stopping.is_set():
            self.failure = f"{name} ended"
            log.critical("%s, and so does the process", self.failure)
            self._stopping.set()
