"""Time that passes only when a test says so."""

from threading import Event


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Ticking(Event):
    """Each wait passes that much time; stops after so many of them."""

    def __init__(self, clock: Clock, waits: int) -> None:
        super().__init__()
        self.clock = clock
        self.waits = waits

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now += timeout or 0.0
        self.waits -= 1
        if self.waits < 0:
            self.set()
        return self.is_set()
