"""The port Store: one contract for the fake, a directory and S3; then what each backend adds."""

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from hypersweep.breaker import Breaker, GuardedStore
from hypersweep.s3 import S3Store
from hypersweep.store import (
    DirectoryStore,
    Store,
    StoreError,
    StoreRefused,
    Taken,
    open_store,
    probe_conditional_writes,
    sub,
)
from tests.fakes import FakeStore
from tests.s3 import endpoint, s3

__all__ = ["endpoint", "s3"]

NewStore = Callable[[], Store]


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


# -- directory


def test_nothing_but_the_value_is_left_in_a_directory(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write("a", b"1")
    store.write_once("b", b"1")
    with pytest.raises(Taken):
        store.write_once("b", b"2")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_temporary_file_that_a_killed_writer_left_is_not_a_key(tmp_path: Path) -> None:
    (tmp_path / ".5ca1ab1e.tmp").write_bytes(b"half")

    assert list(DirectoryStore(tmp_path).list()) == []


def test_what_stands_in_the_way_of_a_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = DirectoryStore(tmp_path / "file" / "runs")

    with pytest.raises(StoreRefused, match=r"cannot write 'a': each part of the path must be a folder"):
        store.write("a", b"x")


def test_a_full_disk_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store = DirectoryStore(tmp_path)
    with pytest.raises(StoreError, match="cannot write 'a': No space left on device") as raised:
        store.write("a", b"x")

    assert raised.type is StoreError
    assert list(store.list()) == []


def test_a_value_is_durable_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace", "link"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, n=name, f=real: (calls.append(n), f(*args))[1])
    store = DirectoryStore(tmp_path)
    store.write("a", b"x")
    store.write_once("b", b"x")

    assert calls == ["fsync", "replace", "fsync", "fsync", "link", "fsync"]


# -- S3


def test_a_long_listing_comes_in_pages(s3: Any, endpoint: str) -> None:
    for number in range(5):
        s3.put_object(Bucket="sweeps", Key=f"p/{number}", Body=b"x")
    pages = S3Store("sweeps", "p", client=Narrow(s3, MaxKeys=2))

    assert list(pages.list(after="0")) == ["1", "2", "3", "4"]


class Narrow:
    """A client whose listings are shorter than they need to be."""

    def __init__(self, client: Any, **options: Any) -> None:
        self._client = client
        self._options = options

    def list_objects_v2(self, **arguments: Any) -> Any:
        return self._client.list_objects_v2(**arguments, **self._options)


def test_an_absent_bucket_is_refused(s3: Any, endpoint: str) -> None:
    store = open_store("s3://elsewhere/x", endpoint=endpoint)
    calls: list[Callable[[], object]] = [
        lambda: store.read("a"),
        lambda: store.write("a", b"x"),
        lambda: store.write_once("a", b"x"),
        lambda: list(store.list()),
        lambda: store.delete("a"),
    ]

    for call in calls:
        with pytest.raises(
            StoreRefused, match=r"^s3://elsewhere/x: cannot .*: the bucket must exist: .*NoSuchBucket"
        ):
            call()


def test_a_service_that_is_away_may_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "one")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "two")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    client = boto3.session.Session().client("s3", endpoint_url="http://127.0.0.1:9", region_name="us-east-1")
    with pytest.raises(StoreError, match=r"s3://sweeps: cannot read 'a': .*127\.0\.0\.1:9") as raised:
        S3Store("sweeps", client=client).read("a")

    assert raised.type is StoreError


class Scripted:
    """A client that answers each call with the next of its errors, and then does it."""

    def __init__(self, *codes: str, after: bool = False) -> None:
        self.codes = list(codes)
        self.after = after
        self.keys: dict[str, bytes] = {}

    def put_object(self, Key: str, Body: bytes, IfNoneMatch: str = "", **_: str) -> None:  # noqa: N803
        if self.codes and not self.after:
            raise failed(self.codes.pop(0))
        if IfNoneMatch and Key in self.keys:
            raise failed("PreconditionFailed")
        self.keys[Key] = Body
        if self.codes:
            raise failed(self.codes.pop(0))

    def get_object(self, Key: str, **_: str) -> dict[str, Any]:  # noqa: N803
        if self.codes:
            raise failed(self.codes.pop(0))
        return {"Body": io.BytesIO(self.keys[Key])}


def failed(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "PutObject")


def test_a_conflict_with_another_write_is_tried_again() -> None:
    waits: list[float] = []
    client = Scripted("ConditionalRequestConflict", "ConditionalRequestConflict")
    S3Store("sweeps", client=client, sleep=waits.append).write_once("a", b"x")

    assert client.keys == {"a": b"x"}
    assert waits == [0.1, 0.2]


def test_conflicts_without_end_are_an_error() -> None:
    store = S3Store(
        "sweeps", client=Scripted(*["ConditionalRequestConflict"] * 9), sleep=lambda seconds: None
    )

    with pytest.raises(StoreError, match="other writes of it do not come to an end"):
        store.write_once("a", b"x")


def test_a_write_whose_answer_was_lost_succeeds_when_made_again() -> None:
    store = S3Store("sweeps", client=Scripted("InternalError", after=True))
    with pytest.raises(StoreError):
        store.write_once("a", b"x")

    store.write_once("a", b"x")


@pytest.mark.parametrize(
    ("code", "must"),
    [
        ("AccessDenied", "the credentials must allow GetObject, PutObject, DeleteObject and ListBucket"),
        ("InvalidAccessKeyId", "the credentials must be known to this endpoint"),
        ("SignatureDoesNotMatch", "the credentials must be known to this endpoint"),
        ("PermanentRedirect", "endpoint and region must be the bucket's"),
    ],
)
def test_what_only_another_configuration_cures_is_refused(code: str, must: str) -> None:
    with pytest.raises(StoreRefused, match=f"^s3://sweeps/team: cannot read 'a': {must}"):
        S3Store("sweeps", "team", client=Scripted(code)).read("a")


def test_a_busy_service_is_not_refused() -> None:
    with pytest.raises(StoreError) as raised:
        S3Store("sweeps", client=Scripted("SlowDown")).read("a")

    assert raised.type is StoreError


# -- the probe


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


# -- the breaker


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
