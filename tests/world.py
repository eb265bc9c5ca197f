"""A simulated place for trials to run, and a journal in memory: both die at any call when told so."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from hypersweep.runner import Evidence, Exit, Key, Live, Metric, Order, Phase, Result
from hypersweep.store import Taken
from hypersweep.trial import Suggestion

START = datetime(2026, 1, 1, tzinfo=UTC)


class Crash(Exception):
    """The process that runs the sweep is killed here."""


@dataclass
class Fault:
    """Kills at the n-th write to the world, before or after it took effect; 0 never."""

    at: int = 0
    after: bool = False
    count: int = 0

    def around(self, write: Callable[[], None]) -> None:
        self.count += 1
        if self.count == self.at and not self.after:
            raise Crash
        write()
        if self.count == self.at:
            raise Crash


@dataclass
class MemoryJournal:
    segments: list[bytes] = field(default_factory=list)
    fault: Fault = field(default_factory=Fault)
    full: bool = False

    def append(self, sequence: int, data: bytes) -> None:
        def write() -> None:
            if sequence < len(self.segments):
                if self.segments[sequence] != data:
                    raise Taken(sequence)
                return
            assert sequence == len(self.segments)
            self.segments.append(data)

        self.fault.around(write)

    def since(self, sequence: int) -> list[bytes]:
        return self.segments[sequence:]


Function = Callable[[Suggestion], Result]


def measured(function: Callable[[Suggestion], float], metric: str = "loss") -> Function:
    """A trial that reports one number."""
    return lambda suggestion: Result("done", {metric: Metric(function(suggestion))})


@dataclass
class World:
    """Attempts as they are, whatever the process that asked for them thinks."""

    function: Function
    rng: Random = field(default_factory=lambda: Random(0))
    now: datetime = START
    live: dict[Key, Live] = field(default_factory=dict)
    orders: dict[Key, Order] = field(default_factory=dict)
    starts: list[Key] = field(default_factory=list)
    results: dict[Key, Result] = field(default_factory=dict)
    fault: Fault = field(default_factory=Fault)
    alive_peak: int = 0

    @property
    def alive(self) -> list[Key]:
        return [k for k, v in self.live.items() if v.phase in (Phase.PENDING, Phase.RUNNING, Phase.STOPPING)]

    def tick(self, seconds: float = 1.0) -> None:
        """Time passes: everything pending runs, what stops is gone, and one running attempt ends."""
        self.now += timedelta(seconds=seconds)
        for key in self.alive:
            match self.live[key].phase:
                case Phase.PENDING:
                    self.live[key] = replace(
                        self.live[key], phase=Phase.RUNNING, started=self.now, progress={"loss": 1.0}, step=1
                    )
                case Phase.STOPPING:
                    del self.live[key]
        if running := [key for key in self.alive if self.live[key].phase is Phase.RUNNING]:
            self.end(self.rng.choice(running))

    def end(self, key: Key, exit: Exit = Exit.COMPLETE, result: Result | None = None) -> None:
        if exit is Exit.COMPLETE:
            result = result or self.function(self.orders[key].suggestion)
        if result is not None:
            self.results[key] = result
        self.live[key] = replace(
            self.live[key], phase=Phase.ENDED, exit=exit, ended=self.now, **self._evidence(key)
        )

    def vanish(self, key: Key) -> None:
        del self.live[key]

    def _evidence(self, key: Key) -> dict[str, object]:
        result = self.results.get(key)
        return {"result": result, "evidence": Evidence.THERE if result else Evidence.ABSENT}


@dataclass
class WorldRunner:
    """The port Runner over a World."""

    world: World

    def observe(self, expected: Collection[Key]) -> Mapping[Key, Live]:
        world = self.world
        gone = {
            key: replace(Live(*key, Phase.GONE, world.now), **world._evidence(key))
            for key in expected
            if key not in world.live
        }
        return dict(world.live) | gone

    def launch(self, order: Order) -> None:
        def write() -> None:
            key = (order.trial, order.attempt)
            if key not in self.world.live:
                self.world.live[key] = Live(*key, Phase.PENDING, self.world.now, gpus=1)
                self.world.orders[key] = order
                self.world.starts.append(key)
                self.world.alive_peak = max(self.world.alive_peak, len(self.world.alive))

        self.world.fault.around(write)

    def stop(self, key: Key) -> None:
        def write() -> None:
            if key in self.world.live:
                self.world.live[key] = replace(self.world.live[key], phase=Phase.STOPPING)

        self.world.fault.around(write)

    def forget(self, key: Key) -> None:
        self.world.fault.around(lambda: self.world.live.pop(key, None) and None)
