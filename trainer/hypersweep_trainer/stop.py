"""Being asked to stop before the first step: work that looks up between two pieces, or is left to itself."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
Look = Callable[[], None]  # raises Stopped once somebody asked for an end

GLANCE = 0.05  # seconds between two looks


class Stopped(Exception):
    """Nothing is lost: training had not begun, or goes on from where an earlier attempt left it."""

    def __init__(self) -> None:
        super().__init__("stopped on request before the first step")


def unasked() -> None:
    """Nobody asks."""


def looking(should_stop: Callable[[], bool]) -> Look:
    """A look at one process's own wish."""

    def look() -> None:
        if should_stop():
            raise Stopped

    return look


def pause(seconds: float, look: Look) -> None:
    """Let time pass."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        look()
        time.sleep(min(left, GLANCE))


def aside(work: Callable[[], T], look: Look) -> T:
    """What work returns that cannot look up itself; its thread is left to itself once `look` raises."""
    pool = ThreadPoolExecutor(1, "aside")
    try:
        future = pool.submit(work)
        while not wait([future], GLANCE).done:
            look()
    finally:
        pool.shutdown(wait=False)
    if future.exception() is not None:
        look()  # others that were asked and left may be why it failed
    return future.result()
