"""A store on S3: pages, conflicts, lost answers, and which errors are worth another try."""

import io
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from hypersweep.s3 import S3Store
from hypersweep.store import StoreError, StoreRefused, open_store
from tests.s3 import endpoint, s3

__all__ = ["endpoint", "s3"]


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
