"""Which ranks are gone: those that leave no sign of life in the store that all share."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
import torch.distributed as dist

from hypersweep_trainer import pulse
from hypersweep_trainer.config import Place
from tests.trainer.processes import a_port

MINUTE = timedelta(minutes=1)


@pytest.fixture
def store() -> dist.TCPStore:
    return dist.TCPStore("127.0.0.1", int(a_port()), 1, True, MINUTE)


@pytest.fixture
def living(store: dist.TCPStore) -> Iterator[int]:
    """A rank that beats."""
    client, over = dist.TCPStore("127.0.0.1", store.port, 1, False), threading.Event()

    def beats() -> None:
        while not over.wait(0.02):
            pulse.beat(client, 1)

    thread = threading.Thread(target=beats)
    thread.start()
    yield 1
    over.set()
    thread.join()


def test_ranks_that_all_live_are_known_without_waiting_for_silence(
    store: dist.TCPStore, living: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "QUIET", 3600.0)

    assert [] == pulse.silent(store, [living])


def test_a_rank_that_is_gone_is_named(
    store: dist.TCPStore, living: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "QUIET", 3.0)
    pulse.beat(store, 2)  # its last one

    assert [2, 3] == pulse.silent(store, [living, 2, 3])
    assert "rank 2 was lost" == pulse.lost([2])
    assert "ranks 2, 3 were lost" == pulse.lost([2, 3])


@pytest.mark.parametrize(("own", "heard"), [(False, ["rank 1: no more"]), (True, [])])
def test_a_word_is_answered_by_those_that_do_not_end_by_themselves(
    own: bool, heard: list[str], store: dist.TCPStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "NOTICE", 0.5)
    answers: list[str] = []
    words = [pulse.Words(store, Place(2, 1, rank, 0, port=store.port), MINUTE) for rank in range(2)]
    words[0].listen(answers.append)
    words[1].tell("rank 1: no more")
    if own:
        words[0].tell("rank 0: cannot go on")
    for thread in threading.enumerate():
        if thread.name == "listener":
            thread.join()

    assert heard == answers
    assert "rank 1: no more" == words[0].heard()


def test_where_ranks_are_lost_that_alone_is_the_word(
    store: dist.TCPStore, living: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "QUIET", 3.0)
    words = pulse.Words(store, Place(3, 1, 0, 0, port=store.port), MINUTE)
    try:
        raise RuntimeError("Connection closed by peer")
    except RuntimeError as error:
        words.tell(f"rank 0: RuntimeError: {error}")

    assert "rank 2 was lost" == words.heard()
