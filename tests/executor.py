"""A pool without threads: what is submitted runs when the test says so."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class Delayed(Executor):
    def __init__(self) -> None:
        self._work: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._work.append((future, lambda: function(*args, **kwargs)))
        return future

    def run(self) -> None:
        """Run all that was submitted until now."""
        work, self._work = self._work, []
        for future, call in work:
            future.set_result(call())
