"""What every backend of the port Journal keeps to; a backend's tests inherit it and say how to open one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from hypersweep.store import Journal, Taken

Opener = Callable[[], Journal]  # another writer of the same journal at each call


class JournalContract:
    def test_a_new_journal_is_empty(self, opener: Opener) -> None:
        assert opener().since(0) == []

    def test_segments_come_back_in_order_from_any_number_on(self, opener: Opener) -> None:
        journal = opener()
        for number in range(12):
            journal.append(number, b"segment %d\n" % number)

        assert [journal.since(n) for n in (0, 11, 12)] == [
            [b"segment %d\n" % number for number in range(12)],
            [b"segment 11\n"],
            [],
        ]

    def test_another_reader_sees_what_was_appended(self, opener: Opener) -> None:
        opener().append(0, b"one")

        assert opener().since(0) == [b"one"]

    def test_a_segment_appended_again_is_a_success(self, opener: Opener) -> None:
        opener().append(0, b"one")
        journal = opener()
        journal.append(0, b"one")
        journal.append(1, b"two")

        assert journal.since(0) == [b"one", b"two"]

    def test_a_segment_of_another_writer_is_never_replaced(self, opener: Opener) -> None:
        first, second = opener(), opener()
        first.append(0, b"one")
        second.append(1, b"two")
        with pytest.raises(Taken):
            first.append(1, b"other")

        assert opener().since(0) == [b"one", b"two"]

    def test_of_two_writers_one_wins_each_segment(self, opener: Opener) -> None:
        def write(journal: Journal, name: bytes) -> list[bytes]:
            won = []
            for number in range(10):
                data = b"%s %d" % (name, number)
                try:
                    journal.append(number, data)
                    won.append(data)
                except Taken:
                    pass
            return won

        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(write, opener(), name) for name in (b"a", b"b")]
            won = [data for writer in both for data in writer.result()]

        assert sorted(opener().since(0)) == sorted(won)
        assert len(won) == 10

    def test_a_segment_holds_any_bytes(self, opener: Opener) -> None:
        data = bytes(range(256)) * 100
        opener().append(0, data)

        assert opener().since(0) == [data]

    def test_there_is_room_for_more(self, opener: Opener) -> None:
        journal = opener()
        journal.append(0, b"one")

        assert not journal.full
