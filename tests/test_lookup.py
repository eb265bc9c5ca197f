from typing import Any

from hypersweep.lookup import Lookups
from hypersweep.store import StoreError

from .clock import Clock
from .executor import Delayed


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.woken = 0
        self.pool = Delayed()
        self.lookups = Lookups(self.wake, self.clock)
        self.answers: list[Any] = []
        self.reads = 0

    def wake(self) -> None:
        self.woken += 1

    def ask(self, key: str = "k", **timing: Any) -> Any:
        return self.lookups.ask(self.pool, key, self.read, **timing)

    def read(self) -> Any:
        self.reads += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_the_answer_comes_later_and_wakes() -> None:
    world = World()
    world.answers = ["there"]

    assert world.ask() is None
    world.pool.run()
    assert ("there", 1) == (world.ask(), world.woken)


def test_one_read_answers_however_often_it_is_asked_for() -> None:
    world = World()
    world.answers = ["there"]
    world.ask()
    world.ask()
    world.pool.run()
    world.ask()

    assert 1 == world.reads


def test_a_failed_read_is_no_answer_and_is_repeated_later() -> None:
    world = World()
    world.answers = [StoreError("away"), "there"]
    world.ask()
    world.pool.run()
    assert world.ask() is None
    world.pool.run()
    assert (1, 1) == (world.reads, world.woken)
    world.clock.now = world.lookups.due or 0.0
    world.ask()
    world.pool.run()

    assert "there" == world.ask()


def test_a_repeated_read_wakes_only_with_news() -> None:
    world = World()
    world.answers = ["", "", "there", "more"]
    for _ in range(4):
        world.ask(every=10.0)
        world.pool.run()
        world.clock.now += 10.0

    assert (4, 2, "more") == (world.reads, world.woken, world.ask(every=10.0))


def test_nobody_spins_while_a_read_takes_longer_than_its_period() -> None:
    world = World()
    world.answers = ["there"]
    world.ask(every=10.0)
    world.clock.now += 25.0
    world.ask(every=10.0)

    assert world.clock.now + 10.0 == world.lookups.due
    world.pool.run()
    assert 1 == world.reads


def test_a_read_can_wait_before_the_first_time() -> None:
    world = World()
    world.answers = ["there"]
    world.ask(after=30.0)
    world.pool.run()

    assert (0, world.clock.now + 30.0) == (world.reads, world.lookups.due)


def test_what_is_no_longer_asked_for_is_forgotten() -> None:
    world = World()
    world.answers = ["old", "new"]
    world.ask()
    world.lookups.keep([])
    world.pool.run()
    world.ask()
    world.pool.run()

    assert "new" == world.ask()
