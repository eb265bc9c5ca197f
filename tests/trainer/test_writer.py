"""Writes beside the training: in order, again until they work, and never for ever at the end."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from hypersweep.store import StoreError, Taken
from hypersweep_trainer import outage
from hypersweep_trainer import writer as writing
from hypersweep_trainer.writer import Writer


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(outage, "PAUSE", 0.001)
    return []


@pytest.fixture
def writer(said: list[str]) -> Iterator[Writer]:
    writer = Writer(said.append)
    yield writer
    writer.close()


def failing(times: int, error: Exception, then: Callable[[], None]) -> Callable[[], None]:
    """A write that works after so many failures."""
    left = iter(range(times))

    def write() -> None:
        if next(left, None) is not None:
            raise error
        then()

    return write


def test_a_write_that_fails_is_tried_again_before_those_after_it(writer: Writer, said: list[str]) -> None:
    done: list[int] = []
    writer.put(failing(3, StoreError("away"), lambda: done.append(1)))
    writer.put(lambda: done.append(2))

    assert writer.drain()
    assert [1, 2] == done
    assert writer.idle
    assert ["the store did not take a write, trying again in 0.001 s: away"] == said[:1]
    assert 3 == len(said)


def test_what_another_writer_wrote_first_stays_as_it_is(writer: Writer, said: list[str]) -> None:
    writer.put(failing(1, Taken("checkpoints/1"), lambda: None))

    assert writer.drain()
    assert ["left as it is: checkpoints/1"] == said


def test_patience_with_a_store_that_stays_away_ends(writer: Writer) -> None:
    writer.put(failing(10**9, StoreError("away"), lambda: None))

    assert not writer.drain(patience=0.01)
    assert not writer.idle


def test_less_patience_is_left_with_a_store_that_is_away_once_somebody_asks_to_stop(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "GRACE", 0.2)
    writer = Writer(said.append, lambda: True)
    began = time.monotonic()
    writer.put(failing(10**9, StoreError("away"), lambda: None))

    assert not writer.drain(patience=60)
    assert 0.2 <= time.monotonic() - began < 30
    writer.close()


def test_a_slow_store_is_waited_for_though_somebody_asks_to_stop(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "GRACE", 0.0)
    writer = Writer(said.append, lambda: True)
    writer.put(lambda: time.sleep(0.5))

    assert writer.drain(patience=60)
    writer.close()


def test_a_writer_without_writes_is_done_at_once(writer: Writer) -> None:
    assert writer.drain(patience=0)


def test_a_write_that_fails_once_the_writer_is_closed_is_not_said_to_be_tried_again(said: list[str]) -> None:
    writer, begun, over = Writer(said.append), threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        over.wait()
        raise StoreError("away")

    writer.put(write)
    begun.wait()
    threading.Timer(0.2, over.set).start()
    writer.close()

    assert over.is_set()
    assert [] == said
