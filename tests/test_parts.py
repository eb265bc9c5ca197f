import threading

import pytest

from hypersweep.parts import Parts


def test_a_part_that_dies_ends_all(caplog: pytest.LogCaptureFixture) -> None:
    stopping = threading.Event()
    parts = Parts(stopping)

    def body() -> None:
        raise SystemExit("unexpected")

    parts.start("watch", body)
    assert stopping.wait(5)
    parts.join(["watch"], 5)

    assert ("watch ended", ["watch"]) == (parts.failure, parts.dead)
    assert "watch died" in caplog.text


def test_a_part_that_returns_ends_all() -> None:
    stopping = threading.Event()
    parts = Parts(stopping)
    parts.start("kopf", lambda: None)

    assert stopping.wait(5)
    assert "kopf ended" == parts.failure


def test_ending_when_asked_is_no_failure() -> None:
    stopping = threading.Event()
    parts = Parts(stopping)
    parts.start("worker", stopping.wait)
    stopping.set()

    assert ([], "") == (parts.join(["worker"], 5), parts.failure)


def test_what_does_not_end_in_time_is_named() -> None:
    over = threading.Event()
    parts = Parts(threading.Event())
    parts.start("worker", over.wait)

    assert ["worker"] == parts.join(["worker"], 0.01)
    over.set()
