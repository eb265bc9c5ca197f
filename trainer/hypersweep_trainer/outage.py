"""Waiting for a store that is away: minutes of it delay a trial, and nothing else."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from hypersweep.store import StoreError, StoreRefused
from hypersweep_trainer.stop import Look, aside, pause

T = TypeVar("T")

PAUSE, LONGEST = 0.5, 10.0  # seconds before a store is asked again, doubled each time
PATIENCE = 900.0  # seconds after which an attempt ends, and a later one may find the store again


def answer(ask: Callable[[], T], look: Look) -> T:
    """What a store answers in the end, on a thread of its own, since a lost connection takes long to tell.

    Raises StoreRefused at once, StoreError when patience has run out, and what `look` raises.
    """
    deadline = time.monotonic() + PATIENCE
    for seconds in pauses():
        try:
            return aside(ask, look)
        except StoreRefused:
            raise
        except StoreError as error:
            if time.monotonic() + seconds > deadline:
                raise StoreError(f"the store was away for {PATIENCE / 60:g} minutes: {error}") from error
            words = f"waiting for the store, trying again in {seconds:g} s: {error}"
            print(words, file=sys.stderr, flush=True)
        pause(seconds, look)
    raise AssertionError("pauses never end")


def pauses() -> Iterator[float]:
    """Seconds to wait, for ever."""
    seconds = PAUSE
    while True:
        yield seconds
        seconds = min(2 * seconds, LONGEST)
