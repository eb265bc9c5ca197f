"""Data from S3 as files on this machine: fetched once, and again where size or etag say that it changed."""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from hypersweep import contract
from hypersweep.store import StoreError
from hypersweep_trainer.data.raw import DataError

THREADS = 16  # objects that are fetched at a time
CHUNK = 1024  # objects that wait for a thread
FILES, UNFINISHED = "files", "unfinished"
INDEX, PARTIAL = "index.jsonl", "partial.jsonl"  # of the files: all of them, or those fetched so far
REFUSED = (301, 400, 403, 404)  # statuses that no retry will change
MUST = {
    errno.EACCES: "the cache folder must be writable",
    errno.EPERM: "the cache folder must be writable",
    errno.EROFS: "the cache folder must be writable",
    errno.EEXIST: "no object may have the name of a folder",
    errno.ENOTDIR: "no object may have the name of a folder",
    errno.EISDIR: "no object may have the name of a folder",
    errno.ENAMETOOLONG: "names must be short enough for a file",
}

Mark = tuple[int, str]  # size and etag


def fetch(url: str, cache_dir: str, env: Mapping[str, str] = os.environ) -> Path:
    """The file or folder of a path, or on this machine a copy of the objects at `s3://bucket/prefix`.

    Endpoint and region are those of the store. Raises DataError, and StoreError when asking again may help.
    """
    if not url.startswith("s3://"):
        path = Path(url.removeprefix("file://")).expanduser()
        if not path.exists():
            raise DataError(f"{url}: must be a file or folder, but there is none")
        return path
    with _explained(url):
        source = _source(url, env)
        wanted = source.marks()
        root = _cache(cache_dir, env) / f"{source.bucket}-{source.digest}"
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root):
            if _marks(root, INDEX) != wanted:
                _update(root, source, source.marks())  # anew: another process may have seen a later state
    return root / FILES / source.name


@dataclass(frozen=True)
class Source:
    """One object, or all that lie below a prefix."""

    client: Any
    bucket: str
    prefix: str  # of the keys, up to and with the last slash
    name: str = ""  # of a single object, below the prefix

    @property
    def digest(self) -> str:
        place = f"{self.client.meta.endpoint_url}\0{self.bucket}\0{self.prefix}\0{self.name}"
        return hashlib.sha256(place.encode()).hexdigest()[:16]

    def marks(self) -> dict[str, Mark]:
        """The objects by their keys below the prefix; raises DataError when they cannot be files."""
        found = {
            entry["Key"].removeprefix(self.prefix): (int(entry["Size"]), str(entry["ETag"]))
            for entry in self._entries()
            if not entry["Key"].endswith("/")  # a folder that some service's console made
        }
        place = f"s3://{self.bucket}/{self.prefix}:"
        if not found:
            raise DataError(f"{place} must hold objects, but holds none")
        for key in found:
            if not {"", ".", ".."}.isdisjoint(key.split("/")):
                raise DataError(f"{place} must hold objects with names of files, but one is {key!r}")
        return found

    def _entries(self) -> Iterator[Mapping[str, Any]]:
        if self.name:
            yield from _first(self.client, self.bucket, self.prefix + self.name)
            return
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
            yield from page.get("Contents", ())

    def download(self, key: str, root: Path) -> tuple[str, Mark]:
        """Fetch one object to its place below a root, where it appears as a whole; its key and mark."""
        from botocore.exceptions import BotoCoreError

        path, temporary = root / FILES / key, root / UNFINISHED / secrets.token_hex(8)
        path.parent.mkdir(parents=True, exist_ok=True)
        for last in (False, False, True):
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)
                with open(temporary, "wb") as file:
                    shutil.copyfileobj(answer["Body"], file, 1 << 20)
                break
            except BotoCoreError:  # boto3 does not retry once the answer has begun
                if last:
                    raise
        size = temporary.stat().st_size
        os.replace(temporary, path)
        return key, (size, answer["ETag"])


def _source(url: str, env: Mapping[str, str]) -> Source:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    client = _client(env)
    if prefix and not prefix.endswith("/"):
        if _first(client, bucket, prefix):
            folder, slash, name = prefix.rpartition("/")
            return Source(client, bucket, folder + slash, name)
        prefix += "/"
    return Source(client, bucket, prefix)


def _first(client: Any, bucket: str, key: str) -> list[Mapping[str, Any]]:
    """The object of just this key; no other key that begins with it sorts before it."""
    listed = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ())
    return [entry for entry in listed if entry["Key"] == key]


def _client(env: Mapping[str, str]) -> Any:
    names = contract.ENV_STORE_ENDPOINT, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"
    endpoint = next((env[name] for name in names if env.get(name)), None)
    return _connect(endpoint, env.get(contract.ENV_STORE_REGION) or env.get("AWS_REGION") or None)


@cache
def _connect(endpoint: str | None, region: str | None) -> Any:
    """One client of an endpoint: making one takes a third of a second."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"total_max_attempts": 5, "mode": "standard"},
        max_pool_connections=THREADS,
        # a service of one's own rarely has a name per bucket, nor the checksums that AWS added in 2025
        s3={"addressing_style": "path" if endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)


def _cache(cache_dir: str, env: Mapping[str, str]) -> Path:
    if cache_dir:
        return Path(cache_dir).expanduser()
    return Path(env.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "hypersweep" / "data"


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One process at a time; the lock ends with its process, however that ends."""
    with open(root / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _update(root: Path, source: Source, wanted: Mapping[str, Mark]) -> None:
    """Make the files what is wanted; wherever this is killed, the next update goes on from there."""
    index, partial = root / INDEX, root / PARTIAL
    held = _marks(root, INDEX if index.exists() else PARTIAL)
    kept = {key: mark for key, mark in held.items() if wanted.get(key) == mark}
    fresh = root / f"{PARTIAL}.new"
    fresh.write_text("".join(map(_line, kept.items())))
    os.replace(fresh, partial)
    index.unlink(missing_ok=True)  # from here on the files are not known to be all there
    _clear(root, wanted)
    missing = [key for key in wanted if key not in kept]
    with open(partial, "a") as record, ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(missing), CHUNK):
            for entry in pool.map(lambda key: source.download(key, root), missing[start : start + CHUNK]):
                record.write(_line(entry))
                record.flush()
    os.replace(partial, index)


def _marks(root: Path, name: str) -> dict[str, Mark]:
    """What an index names, as far as the files are there with their sizes; a line cut short ends it."""
    found: dict[str, Mark] = {}
    for line in (root / name).read_text().splitlines() if (root / name).exists() else ():
        try:
            key, size, etag = json.loads(line)
        except ValueError:
            break
        file = root / FILES / key
        if file.is_file() and file.stat().st_size == size:
            found[key] = (size, etag)
    return found


def _line(entry: tuple[str, Mark]) -> str:
    key, (size, etag) = entry
    return json.dumps([key, size, etag]) + "\n"


def _clear(root: Path, wanted: Mapping[str, Mark]) -> None:
    """Remove files that are not wanted, the folders that this empties, and what was fetched in part."""
    shutil.rmtree(root / UNFINISHED, ignore_errors=True)
    for folder in (root / UNFINISHED, root / FILES):
        folder.mkdir(exist_ok=True)
    for place, _, names in os.walk(root / FILES, topdown=False):
        below = PurePosixPath(os.path.relpath(place, root / FILES))
        for name in names:
            if str(below / name) not in wanted:
                os.unlink(os.path.join(place, name))
        if str(below) != "." and not os.listdir(place):
            os.rmdir(place)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """What S3 and the cache say, in one sentence that begins with the option."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

    try:
        yield
    except ClientError as error:
        status, code = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
        final = status in REFUSED and code != "NoSuchKey"  # a key may vanish after it was listed
        raise (DataError if final else StoreError)(f"{url}: must be readable, but {error}") from error
    except (NoCredentialsError, ParamValidationError, ValueError) as error:
        raise DataError(f"{url}: must be readable, but {error}") from error
    except BotoCoreError as error:
        raise StoreError(f"{url}: cannot be read: {error}") from error
    except OSError as error:
        if error.errno not in MUST:
            raise
        raise DataError(f"cache_dir: {MUST[error.errno]} that data is kept under, but {error}") from error
