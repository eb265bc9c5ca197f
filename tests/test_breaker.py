"""The breaker of a store: it opens after failures in a row, and one call decides whether it closes."""

import pytest

from hypersweep.breaker import Breaker, GuardedStore
from hypersweep.store import Store, StoreError, StoreRefused, Taken
from tests.fakes import FakeStore


class Failing(FakeStore):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error
        self.calls = 0

    def read(self, key: str, limit: int | None = None) -> bytes | None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return b"x"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def a_guarded(error: Exception) -> tuple[Failing, GuardedStore, Clock]:
    failing, clock = Failing(error), Clock()
    return failing, GuardedStore(failing, Breaker(failures=2, delay=10, clock=clock)), clock


def fail(store: Store, times: int) -> None:
    for _ in range(times):
        with pytest.raises(StoreError):
            store.read("a")


def test_an_open_breaker_asks_nothing_and_says_why() -> None:
    failing, store, _ = a_guarded(StoreError("connection refused"))
    fail(store, 2)

    with pytest.raises(StoreError, match="not asked for another 10 s after: connection refused"):
        store.read("a")
    assert failing.calls == 2


def test_after_the_delay_one_call_decides() -> None:
    failing, store, clock = a_guarded(StoreError("away"))
    fail(store, 2)
    clock.now = 10
    fail(store, 3)

    assert failing.calls == 3


def test_a_success_closes_the_breaker() -> None:
    failing, store, clock = a_guarded(StoreError("away"))
    fail(store, 2)
    clock.now, failing.error = 10, None

    assert [store.read("a") for _ in range(3)] == [b"x"] * 3


def test_failures_must_be_consecutive() -> None:
    failing, store, _ = a_guarded(StoreError("away"))
    for error in (StoreError("away"), None, StoreError("away"), None):
        failing.error = error
        if error is None:
            store.read("a")
        else:
            fail(store, 1)

    assert failing.calls == 4


@pytest.mark.parametrize("error", [StoreRefused("no such bucket"), Taken("a")])
def test_an_answer_that_is_no_does_not_open_the_breaker(error: Exception) -> None:
    failing, store, _ = a_guarded(error)
    for _ in range(5):
        with pytest.raises(type(error)):
            store.read("a")

    assert failing.calls == 5


def test_while_one_call_tries_the_others_are_not_asked() -> None:
    breaker = Breaker(failures=1, delay=10, clock=(clock := Clock()))
    with pytest.raises(StoreError), breaker.call():
        raise StoreError("away")
    clock.now = 10
    with breaker.call(), pytest.raises(StoreError, match="not asked"), breaker.call():
        pass
