"""The loop around a local sweep's passes: it sleeps until something ends, and stops when it is asked to."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Protocol

from hypersweep.api import SweepSpec
from hypersweep.goal import SweepPhase
from hypersweep.reconcile import Step, Sweep
from hypersweep.store import StoreError, StoreRefused

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_AGAIN = 1.0  # seconds, while a store has yet to tell how an attempt ended
LONGEST_PAUSE = 30.0  # seconds between two tries of a store that does not answer


class View(Protocol):
    """What a person sees of a run."""

    def show(self, step: Step) -> None:
        """Take in what a pass saw and did."""

    def say(self, text: str) -> None:
        """One more sentence."""


class Interrupted(Exception):
    """Somebody asked a second time: end now, whatever runs."""


class Contended(Exception):
    """Another process writes to the same journal."""


class Alarm:
    """Wakes the loop from any thread and from signal handlers."""

    def __init__(self) -> None:
        self.asked = False  # to stop
        self._rings: SimpleQueue[None] = SimpleQueue()  # unlike a condition, a signal handler may use it

    def ring(self) -> None:
        self._rings.put(None)

    def wait(self, seconds: float | None) -> None:
        """Return once somebody rang since the last call, or after that time."""
        try:
            self._rings.get(timeout=seconds)
            while True:
                self._rings.get_nowait()
        except Empty:
            return

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let Ctrl-C and a terminal's end ask for a stop; asked again, they raise Interrupted here."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self.asked:
                raise Interrupted
            self.asked = True
            self.ring()

        before = {number: signal.signal(number, handle) for number in ASKING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def drive(
    sweep: Sweep,
    spec: SweepSpec,
    alarm: Alarm,
    view: View,
    unsettled: Callable[[], bool] = lambda: False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Step:
    """Take pass after pass until the sweep is over, or suspended; then the last one.

    Stopping on request is suspending: what runs saves and ends, uncharged, and the next run goes on.
    Raises StoreRefused, SpecChanged, Contended and Interrupted.
    """
    pause, told = 1.0, False
    while True:
        if alarm.asked and not told:
            view.say("stopping: what runs saves its state; Ctrl-C again kills it")
            told = True
        try:
            step = sweep.step(spec.model_copy(update={"suspend": spec.suspend or alarm.asked}), now())
        except StoreRefused:
            raise
        except StoreError as error:
            if alarm.asked:
                raise
            view.say(f"trying again in {pause:g} s: {error}")
            alarm.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            continue
        if not sweep.loaded:
            raise Contended
        pause = 1.0
        view.show(step)
        if step.plan.phase.terminal or step.plan.phase is SweepPhase.SUSPENDED:
            return step
        if not step.busy:
            alarm.wait(_patience(step, unsettled(), now()))


def _patience(step: Step, unsettled: bool, now: datetime) -> float | None:
    """How long nothing can happen unless something ends."""
    due = [LOOK_AGAIN] if unsettled else []
    if step.plan.wake_at is not None:
        due.append(max((step.plan.wake_at - now).total_seconds(), 0.0))
    return min(due, default=None)
