"""The port Journal: one contract for memory, a directory, S3 and a ConfigMap; then what each adds."""

import random
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from hypersweep.configmap import FOLD, FULL, LIMIT, ConfigMapJournal, JournalFull, NameConflict
from hypersweep.contract import journal_key
from hypersweep.job import owner_reference
from hypersweep.store import DirectoryStore, StoreError, StoreJournal, StoreRefused, Taken
from tests.fakes import FakeConfigMaps, FakeStore
from tests.journal_contract import JournalContract, Opener
from tests.s3 import endpoint, s3
from tests.world import MemoryJournal

__all__ = ["endpoint", "s3"]


class TestMemory(JournalContract):
    @pytest.fixture
    def opener(self) -> Opener:
        journal = MemoryJournal()
        return lambda: journal


class TestFakeStore(JournalContract):
    @pytest.fixture
    def opener(self) -> Opener:
        store = FakeStore()
        return lambda: StoreJournal(store)


class TestDirectory(JournalContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return lambda: StoreJournal(DirectoryStore(tmp_path / "runs"))


class TestS3(JournalContract):
    @pytest.fixture
    def opener(self, s3: Any) -> Opener:
        from hypersweep.s3 import S3Store

        return lambda: StoreJournal(S3Store("sweeps", "ns/digits-1", client=s3))


class TestConfigMap(JournalContract):
    @pytest.fixture
    def opener(self) -> Opener:
        api = FakeConfigMaps()
        return lambda: a_journal(api)


def a_journal(api: Any, uid: str = "1") -> ConfigMapJournal:
    return ConfigMapJournal(api, "ns", "digits-journal", owner_reference("digits", uid))


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)


# -- in a store


def test_what_follows_a_gap_is_not_there_yet() -> None:
    store = FakeStore()
    for number in (0, 1, 3):
        store.write(journal_key(number), b"%d" % number)

    assert StoreJournal(store).since(0) == [b"0", b"1"]


def test_a_segment_that_goes_while_it_is_read_ends_the_journal() -> None:
    class Leaky(FakeStore):
        def read(self, key: str, limit: int | None = None) -> bytes | None:
            return None if key == journal_key(1) else super().read(key, limit)

    store = Leaky()
    for number in range(3):
        store.write(journal_key(number), b"%d" % number)

    assert StoreJournal(store).since(0) == [b"0"]


def test_a_store_that_overwrites_is_refused_before_its_first_segment() -> None:
    class Careless(FakeStore):
        def write_once(self, key: str, data: bytes) -> None:
            self.write(key, data)

    store = Careless()
    with pytest.raises(StoreRefused):
        StoreJournal(store).append(0, b"one")

    assert StoreJournal(store).since(0) == []


def test_nothing_new_costs_one_read() -> None:
    class Counting(FakeStore):
        calls = 0

        def read(self, key: str, limit: int | None = None) -> bytes | None:
            self.calls += 1
            return super().read(key, limit)

        def list(self, prefix: str = "", after: str = "") -> Any:
            raise AssertionError("listed")

    store = Counting()
    assert StoreJournal(store).since(4) == []
    assert store.calls == 1


# -- in a ConfigMap


def the_keys(api: FakeConfigMaps) -> list[str]:
    return sorted(api.objects["ns", "digits-journal"].binary_data)


def test_the_configmap_goes_with_its_sweep() -> None:
    api = FakeConfigMaps()
    a_journal(api).append(0, b"one")

    owners = api.objects["ns", "digits-journal"].metadata.owner_references
    assert [(owner.kind, owner.name, owner.uid, owner.controller) for owner in owners] == [
        ("HyperSweep", "digits", "1", True)
    ]


def test_one_segment_is_one_write() -> None:
    api = FakeConfigMaps()
    journal = a_journal(api)
    for number in range(3 * FOLD):
        journal.append(number, b"%d" % number)

    assert api.writes == 3 * FOLD


def test_old_segments_are_folded_into_one_key() -> None:
    api = FakeConfigMaps()
    journal = a_journal(api)
    for number in range(2 * FOLD + 4):
        journal.append(number, b"%d" % number)

    assert the_keys(api) == [
        "000000-000050",
        "000051-000101",
        "000102",
        "000103",
    ]


def test_a_folded_journal_is_read_from_any_number_on() -> None:
    api = FakeConfigMaps()
    journal = a_journal(api)
    for number in range(2 * FOLD + 4):
        journal.append(number, b"%d" % number)

    for first in (0, 1, FOLD, FOLD + 1, 2 * FOLD + 3):
        assert a_journal(api).since(first) == [b"%d" % n for n in range(first, 2 * FOLD + 4)]


def test_a_folded_segment_is_never_replaced() -> None:
    api = FakeConfigMaps()
    journal = a_journal(api)
    for number in range(FOLD + 2):
        journal.append(number, b"%d" % number)
    a_journal(api).append(3, b"3")
    with pytest.raises(Taken):
        a_journal(api).append(3, b"other")


def test_a_thousand_trials_leave_room() -> None:
    api = FakeConfigMaps()
    journal = a_journal(api)
    rng = random.Random(0)
    for number in range(200):
        lines = [
            b'{"fact":"Launched","at":"2026-01-01T00:%02d:00+00:00","trial":%d,"attempt":0,"suggestion":'
            b'{"parameters":{"lr":%r,"optimizer":"adamw"},"seed":%d,"replicate":0}}\n'
            b'{"fact":"Ended","at":"2026-01-01T00:%02d:09+00:00","trial":%d,"attempt":0,"end":"Done",'
            b'"final":true,"metrics":{"val_accuracy":%r,"val_loss":%r},"gpu_seconds":%r}\n'
            % (
                rng.randrange(60),
                trial,
                rng.random(),
                rng.randrange(2**31),
                rng.randrange(60),
                trial,
                rng.random(),
                rng.random(),
                rng.random(),
            )
            for trial in range(5 * number, 5 * number + 5)
        ]
        journal.append(number, b"".join(lines))

    assert not journal.full


def test_a_nearly_full_journal_says_so_but_takes_ends_until_the_limit() -> None:
    api = FakeConfigMaps()
    journal = a_journal(api)
    journal.append(0, noise(FULL - 1000))
    assert not journal.full
    journal.append(1, noise(2000))
    assert journal.full
    assert a_journal_after_reading(api).full

    journal.append(2, noise(50_000))
    with pytest.raises(JournalFull, match=rf"at most {LIMIT} bytes must hold, but got \d+"):
        journal.append(3, noise(100_000))
    assert len(journal.since(0)) == 3


def a_journal_after_reading(api: FakeConfigMaps) -> ConfigMapJournal:
    journal = a_journal(api)
    journal.since(0)
    return journal


def test_a_configmap_of_a_deleted_sweep_of_the_same_name_is_not_adopted() -> None:
    api = FakeConfigMaps()
    a_journal(api, uid="old").append(0, b"one")
    journal = a_journal(api, uid="new")
    with pytest.raises(NameConflict, match="configmap ns/digits-journal: it must belong to the sweep"):
        journal.since(0)
    with pytest.raises(NameConflict):
        journal.append(0, b"one")
    api.objects.clear()

    assert journal.since(0) == []


def test_a_journal_that_somebody_deleted_is_not_begun_again_in_the_middle() -> None:
    api = FakeConfigMaps()
    journal = a_journal(api)
    journal.append(0, b"one")
    api.objects.clear()

    with pytest.raises(
        StoreRefused, match="its first 1 segments must be there, but 0 are: deleted or edited"
    ):
        journal.append(1, b"two")


def test_labels_of_others_stay() -> None:
    api = FakeConfigMaps()
    a_journal(api).append(0, b"one")
    api.objects["ns", "digits-journal"].metadata.labels = {"team": "a"}
    a_journal(api).append(1, b"two")

    assert api.objects["ns", "digits-journal"].metadata.labels == {"team": "a"}


def test_a_value_that_is_not_ours_is_refused() -> None:
    api = FakeConfigMaps()
    a_journal(api).append(0, b"one")
    api.objects["ns", "digits-journal"].binary_data["000000"] = "bm9uc2Vuc2U="

    with pytest.raises(StoreRefused, match="must hold a journal and nothing else"):
        a_journal(api).since(0)


class Lossy(FakeConfigMaps):
    """An API server whose next answers are errors, after it acted or instead."""

    def __init__(self, *errors: Exception, after: bool = False) -> None:
        super().__init__()
        self.errors = list(errors)
        self.after = after

    def _store(self, body: Any) -> Any:
        if self.errors and not self.after:
            raise self.errors.pop(0)
        answer = super()._store(body)
        if self.errors:
            raise self.errors.pop(0)
        return answer


def test_an_append_whose_answer_was_lost_succeeds_when_made_again() -> None:
    api = Lossy(HTTPError("timed out"), after=True)
    journal = a_journal(api)
    with pytest.raises(StoreError, match="configmap ns/digits-journal: cannot write"):
        journal.append(0, b"one")
    journal.append(0, b"one")
    journal.append(1, b"two")

    assert journal.since(0) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("status", "kind"), [(403, StoreRefused), (401, StoreRefused), (500, StoreError), (429, StoreError)]
)
def test_what_the_api_server_answers_is_said(status: int, kind: type[StoreError]) -> None:
    api = Lossy(ApiException(status=status, reason="Because"))
    with pytest.raises(StoreError, match=r"cannot write: .*Because") as raised:
        a_journal(api).append(0, b"one")

    assert raised.type is kind


def test_conflicts_without_end_are_an_error() -> None:
    api = Lossy(*[ApiException(status=409, reason="Conflict") for _ in range(9)])

    with pytest.raises(StoreError, match="other writers do not come to an end"):
        a_journal(api).append(0, b"one")
