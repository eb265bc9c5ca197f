"""A store in a bucket of any S3 service; imported only where a URL asks for it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
)

from hypersweep.store import StoreError, StoreRefused, Taken, checked

CONFLICT_WAITS = (0.1, 0.2, 0.4, 0.8, 1.6)
MUST = {
    "NoSuchBucket": "the bucket must exist",
    "InvalidBucketName": "the URL must name a valid bucket",
    "AccessDenied": "the credentials must allow GetObject, PutObject, DeleteObject and ListBucket",
    "AllAccessDisabled": "the account must be enabled",
    "AccountProblem": "the account must be enabled",
    "InvalidAccessKeyId": "the credentials must be known to this endpoint",
    "SignatureDoesNotMatch": "the credentials must be known to this endpoint",
    "InvalidToken": "the credentials must be known to this endpoint",
    "AuthorizationHeaderMalformed": "the region must be the bucket's",
    "IllegalLocationConstraintException": "the region must be the bucket's",
    "PermanentRedirect": "endpoint and region must be the bucket's",
    "301": "endpoint and region must be the bucket's",
    "NotImplemented": "the store must honour conditional writes (If-None-Match: *)",
}


class S3Store:
    """Keys as objects of a bucket; a service that ignores `If-None-Match: *` is found out by the probe."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        region: str | None = None,
        client: Any = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{checked(prefix)}/" if prefix else ""
        try:
            self._client = client or connect(endpoint, region)
        except (BotoCoreError, ValueError) as error:
            raise StoreRefused(f"{self.url}: endpoint and region must be valid: {error}") from error
        self._sleep = sleep

    def read(self, key: str, limit: int | None = None) -> bytes | None:
        ranged = {} if limit is None else {"Range": f"bytes=0-{limit - 1}"}
        place = self._place(key)
        with self._explained("read", key):
            try:
                data: bytes = self._client.get_object(**place, **ranged)["Body"].read()
            except ClientError as error:
                match code(error):
                    case "NoSuchKey":
                        return None
                    case "InvalidRange":  # an empty object has no first byte
                        return b""
                raise
        return data[:limit]  # a service may ignore the range

    def write(self, key: str, data: bytes) -> None:
        place = self._place(key)
        with self._explained("write", key):
            self._client.put_object(**place, Body=data)

    def write_once(self, key: str, data: bytes) -> None:
        # the bytes that are there may be our own: of a first try whose answer was lost
        if not self._create(key, data) and self.read(key) != data:
            raise Taken(f"{self.url}/{key}")

    def _create(self, key: str, data: bytes) -> bool:
        """Whether the key was absent and holds the data now."""
        place = self._place(key)
        for wait in CONFLICT_WAITS:
            with self._explained("write", key):
                try:
                    self._client.put_object(**place, Body=data, IfNoneMatch="*")
                    return True
                except ClientError as error:
                    if code(error) == "PreconditionFailed":
                        return False
                    if code(error) != "ConditionalRequestConflict":
                        raise
            self._sleep(wait)  # another write of the same key was under way
        raise StoreError(f"{self.url}: cannot write {key!r}: other writes of it do not come to an end")

    def list(self, prefix: str = "", after: str = "") -> Iterator[str]:
        where = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        if after:
            where["StartAfter"] = self._prefix + after
        while True:
            with self._explained("list", prefix):
                page = self._client.list_objects_v2(**where)
            for entry in page.get("Contents", ()):
                yield entry["Key"].removeprefix(self._prefix)
            if not page.get("IsTruncated"):
                return
            where["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        place = self._place(key)
        with self._explained("delete", key):
            self._client.delete_object(**place)

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + checked(key)}

    @contextmanager
    def _explained(self, action: str, key: str) -> Iterator[None]:
        what = f"{self.url}: cannot {action} {key!r}"
        try:
            yield
        except ClientError as error:
            must = MUST.get(code(error))
            if must is None:
                raise StoreError(f"{what}: {error}") from error
            raise StoreRefused(f"{what}: {must}: {error}") from error
        except NoCredentialsError as error:
            raise StoreRefused(f"{what}: credentials must be in the environment or the identity") from error
        except ParamValidationError as error:
            raise StoreRefused(f"{what}: the URL must name a valid bucket: {error}") from error
        except BotoCoreError as error:
            raise StoreError(f"{what}: {error}") from error


def code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@cache
def connect(endpoint: str | None, region: str | None) -> Any:
    """One client, and so one pool of connections, for all stores of an endpoint."""
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    config = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"total_max_attempts": 3, "mode": "standard"},
        max_pool_connections=32,
        # a service of one's own rarely has a name per bucket, nor the checksums that AWS added in 2025
        s3={"addressing_style": "path" if endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # a session of its own: boto3's default one is not safe between threads
    return boto3.session.Session().client(
        "s3", endpoint_url=endpoint, region_name=region or os.environ.get("AWS_REGION"), config=config
    )
