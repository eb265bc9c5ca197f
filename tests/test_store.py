"""The port Store: one contract for the fake, a directory, S3, a view and a guard; and the URLs of stores."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersweep.breaker import Breaker, GuardedStore
from hypersweep.store import (
    DirectoryStore,
    Store,
    StoreRefused,
    Taken,
    open_store,
    probe_conditional_writes,
    sub,
)
from tests.fakes import FakeStore
from tests.s3 import endpoint, s3

__all__ = ["endpoint", "s3"]


@pytest.fixture(params=["fake", "directory", "s3", "sub", "guarded"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "fake":
            return FakeStore()
        case "directory":
            return open_store(str(tmp_path / "runs"))
        case "guarded":
            return GuardedStore(FakeStore(), Breaker())
    request.getfixturevalue("s3")
    found = open_store("s3://sweeps/team-a", endpoint=request.getfixturevalue("endpoint"))
    return sub(found, "digits-1") if request.param == "sub" else found


def test_what_is_written_is_read(store: Store) -> None:
    store.write("trials/00001/result.json", b"one")
    store.write("trials/00001/result.json", b"two")

    assert store.read("trials/00001/result.json") == b"two"


def test_an_absent_key_reads_as_none(store: Store) -> None:
    store.write("a/b", b"")

    assert [store.read(key) for key in ("a", "a/c", "a/b/c", "b")] == [None] * 4


@pytest.mark.parametrize(("limit", "expected"), [(1, b"o"), (3, b"one"), (9, b"one"), (None, b"one")])
def test_a_limit_keeps_the_first_bytes(store: Store, limit: int | None, expected: bytes) -> None:
    store.write("log.txt", b"one")

    assert store.read("log.txt", limit) == expected


def test_an_empty_value_is_not_an_absent_one(store: Store) -> None:
    store.write("empty", b"")

    assert (store.read("empty"), store.read("empty", 10)) == (b"", b"")


def test_writing_once_twice_with_equal_bytes_succeeds(store: Store) -> None:
    store.write_once("journal/000000.jsonl", b"one")
    store.write_once("journal/000000.jsonl", b"one")

    assert store.read("journal/000000.jsonl") == b"one"


def test_writing_once_over_other_bytes_is_taken_and_changes_nothing(store: Store) -> None:
    store.write_once("journal/000000.jsonl", b"one")
    with pytest.raises(Taken):
        store.write_once("journal/000000.jsonl", b"two")

    assert store.read("journal/000000.jsonl") == b"one"


def test_of_many_writers_of_a_key_one_wins(store: Store) -> None:
    def write(data: bytes) -> bool:
        try:
            store.write_once("journal/000000.jsonl", data)
        except Taken:
            return False
        return True

    values = [bytes([number]) * 1000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        won = [value for value, first in zip(values, pool.map(write, values), strict=True) if first]

    assert won == [store.read("journal/000000.jsonl")]


def test_keys_are_listed_in_order_of_the_whole_key(store: Store) -> None:
    keys = ["a-b/1", "a/1", "a/b/2", "a/c", "a0", "b"]
    for key in reversed(keys):
        store.write(key, b"x")

    assert list(store.list()) == keys


@pytest.mark.parametrize(
    ("prefix", "after", "expected"),
    [
        ("a/", "", ["a/1", "a/b/2", "a/c"]),
        ("a/", "a/1", ["a/b/2", "a/c"]),
        ("a/", "a/b/2", ["a/c"]),
        ("a/", "a/b/3", ["a/c"]),
        ("a/b", "", ["a/b/2"]),
        ("a", "a/c", ["a0"]),
        ("", "a/c", ["a0", "b"]),
        ("c/", "", []),
    ],
)
def test_a_listing_begins_after_a_key_and_below_a_prefix(
    store: Store, prefix: str, after: str, expected: list[str]
) -> None:
    for key in ("a/1", "a/b/2", "a/c", "a0", "b"):
        store.write(key, b"x")

    assert list(store.list(prefix, after)) == expected


def test_a_deleted_key_is_absent_and_may_be_deleted_again(store: Store) -> None:
    store.write("a/b", b"x")
    store.delete("a/b")
    store.delete("a/b")

    assert (store.read("a/b"), list(store.list())) == (None, [])


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".", ".hidden", "a\0b"]
)
def test_no_key_leaves_the_store(store: Store, key: str) -> None:
    for call in (store.read, store.delete):
        with pytest.raises(ValueError, match="a key holds parts"):
            call(key)
    for write in (store.write, store.write_once):
        with pytest.raises(ValueError, match="a key holds parts"):
            write(key, b"x")

    assert list(store.list()) == []


@settings(deadline=None)
@given(
    st.dictionaries(
        st.lists(st.text("ab-_0é", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
        st.binary(max_size=20),
        max_size=8,
    ),
    st.text("ab-0/é", max_size=3).filter(lambda text: not text.startswith("/") and "//" not in text),
    st.text("ab-0/é", max_size=3),
)
def test_a_directory_is_the_mapping_that_the_fake_is(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, bytes], prefix: str, after: str
) -> None:
    folders = {key.rpartition("/")[0] for key in values}
    values = {
        key: data for key, data in values.items() if not any(f"{f}/".startswith(f"{key}/") for f in folders)
    }
    directory, fake = DirectoryStore(tmp_path_factory.mktemp("store")), FakeStore()
    for key, data in values.items():
        directory.write(key, data)
        fake.write(key, data)

    assert list(fake.list(prefix, after)) == list(directory.list(prefix, after))
    assert values == {key: directory.read(key) for key in directory.list()}


def test_a_view_sees_only_what_lies_below_its_prefix() -> None:
    store = FakeStore()
    store.write("sweeps-2/a", b"x")
    below = sub(sub(store, "sweeps"), "digits-1")
    below.write("trials/b", b"y")

    assert list(below.list()) == ["trials/b"]
    assert store.read("sweeps/digits-1/trials/b") == b"y"
    assert below.url == "fake://store/sweeps/digits-1"


@pytest.mark.parametrize("url", ["runs/digits", "/tmp/runs/digits", "file:///tmp/runs/my%20digits"])
def test_a_store_in_a_directory_is_opened_by_its_own_url_again(url: str) -> None:
    store = open_store(url)

    assert open_store(store.url).url == store.url
    assert store.url.startswith("file:///")


@pytest.mark.parametrize("url", ["s3://sweeps", "s3://sweeps/", "s3://sweeps/team-a/x/"])
def test_a_store_on_s3_is_opened_by_its_own_url_again(url: str) -> None:
    assert open_store(url, region="eu-central-1").url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///x",
        "s3://b",
        "S3://bad bucket/x",
        "s3://bucket/x?versionId=1",
        "s3://bucket/x/../y",
        "s3://bucket/x//y",
        "https://bucket.s3.amazonaws.com/x",
        "file://host/x",
        "gs://bucket/x",
    ],
)
def test_another_kind_of_url_is_refused_by_its_field(url: str) -> None:
    with pytest.raises(StoreRefused, match=r"^store\.url: .*must hold, but got '"):
        open_store(url)


def test_a_store_that_writes_once_passes_the_probe_again_and_again(store: Store) -> None:
    for _ in range(2):
        probe_conditional_writes(store)


def test_a_store_that_ignores_the_condition_is_refused_also_after_a_first_probe() -> None:
    class Careless(FakeStore):
        def write_once(self, key: str, data: bytes) -> None:
            self.write(key, data)

    store = Careless()
    for _ in range(2):
        with pytest.raises(StoreRefused, match=r"must honour conditional writes \(If-None-Match: \*\)"):
            probe_conditional_writes(store)
