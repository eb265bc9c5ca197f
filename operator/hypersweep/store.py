"""Where a sweep's journal and results lie: the ports Store and Journal and their backends."""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from hypersweep.contract import PROBE, journal_key


class StoreError(Exception):
    """The store did not do what was asked; asking again may help."""


class StoreRefused(StoreError):
    """The store will never do what was asked as it is configured: bad URL, credentials, bucket."""


class Taken(Exception):
    """Another writer was first: the key or segment exists with other bytes."""


class Store(Protocol):
    """Bytes by key, below one URL; keys are relative, `/`-separated, no part of them starts with a dot.

    Every method raises ValueError on another kind of key, StoreRefused when the configuration must
    change first, and StoreError when asking again may help.
    """

    @property
    def url(self) -> str:
        """Where the keys lie; `open_store` takes it back."""

    def read(self, key: str, limit: int | None = None) -> bytes | None:
        """The first `limit` bytes of a key, all without a limit; None when absent.

        A caller that accepts n bytes asks for n + 1: what is longer then shows by its length.
        """

    def write(self, key: str, data: bytes) -> None:
        """Replace a key as a whole, durably: no reader ever sees a part."""

    def write_once(self, key: str, data: bytes) -> None:
        """Create a key, durably; equal bytes already there are a success, others raise Taken."""

    def list(self, prefix: str = "", after: str = "") -> Iterator[str]:
        """The keys that start with `prefix` and sort after the key `after`, in order of code points."""

    def delete(self, key: str) -> None:
        """Remove a key; an absent one is fine."""


class Journal(Protocol):
    """The append-only segments of one sweep, numbered from 0."""

    @property
    def full(self) -> bool:
        """Whether only facts that end attempts still fit, so that nothing may be launched."""

    def append(self, sequence: int, data: bytes) -> None:
        """Write segment `sequence` once; equal bytes already there are a success, others raise Taken.

        Raises StoreError; whether the segment was written is then unknown, and the same call finds out.
        """

    def since(self, sequence: int) -> list[bytes]:
        """Segments from `sequence` on, in order; what follows a gap is not there yet. Raises StoreError."""


def open_store(url: str, *, endpoint: str | None = None, region: str | None = None) -> Store:
    """The store at `s3://bucket/prefix`, `file:///folder` or a plain path; nothing is read or written yet.

    Credentials, and endpoint and region where not given, come from boto3's standard chain.
    """
    if "://" not in url:
        return DirectoryStore(Path(url))
    parts = urlsplit(url)
    if re.fullmatch(r"file:///[^?#]+", url):
        return DirectoryStore(Path(unquote(parts.path)))
    if re.fullmatch(r"s3://[A-Za-z0-9][A-Za-z0-9._-]{1,62}(/[^./?#][^/?#]*)*/?", url):
        from hypersweep.s3 import S3Store  # boto3 takes half a second that a directory should not cost

        return S3Store(parts.netloc, parts.path.strip("/"), endpoint=endpoint, region=region)
    raise StoreRefused(f"store.url: `s3://bucket/prefix` or `file:///folder` must hold, but got {url!r}")


def sub(store: Store, prefix: str) -> Store:
    """The same store seen from below a prefix."""
    return Below(store, checked(prefix.strip("/")))


def checked(key: str) -> str:
    """The key itself; raises ValueError on one that could leave the store or meet a temporary file."""
    if not key or "\0" in key or any(not part or part.startswith(".") for part in key.split("/")):
        raise ValueError(f"a key holds parts that do not start with a dot, separated by `/`, but got {key!r}")
    return key


class Below:
    """A view below a prefix of another store."""

    def __init__(self, store: Store, prefix: str) -> None:
        self.url = f"{store.url}/{prefix}"
        self._store = store
        self._prefix = f"{prefix}/"

    def read(self, key: str, limit: int | None = None) -> bytes | None:
        return self._store.read(self._prefix + key, limit)

    def write(self, key: str, data: bytes) -> None:
        self._store.write(self._prefix + key, data)

    def write_once(self, key: str, data: bytes) -> None:
        self._store.write_once(self._prefix + key, data)

    def list(self, prefix: str = "", after: str = "") -> Iterator[str]:
        for key in self._store.list(self._prefix + prefix, self._prefix + after if after else ""):
            yield key.removeprefix(self._prefix)

    def delete(self, key: str) -> None:
        self._store.delete(self._prefix + key)


class DirectoryStore:
    """Keys as files below a folder, which is made by the first write."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.url = self._root.as_uri()

    def read(self, key: str, limit: int | None = None) -> bytes | None:
        path = self._path(key)
        with self._explained("read", key):
            try:
                with open(path, "rb") as file:
                    return file.read(-1 if limit is None else limit)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None

    def write(self, key: str, data: bytes) -> None:
        with self._explained("write", key), self._temporary(key, data) as (temporary, path):
            os.replace(temporary, path)

    def write_once(self, key: str, data: bytes) -> None:
        with self._explained("write", key), self._temporary(key, data) as (temporary, path):
            try:
                # the name appears with its bytes behind it, and never over another writer's
                os.link(temporary, path)
            except FileExistsError:
                if path.read_bytes() != data:
                    raise Taken(f"{self.url}/{key}") from None

    def list(self, prefix: str = "", after: str = "") -> Iterator[str]:
        folder = prefix.rpartition("/")[0]
        with self._explained("list", prefix):
            yield from self._walk(f"{checked(folder)}/" if folder else "", prefix, after)

    def delete(self, key: str) -> None:
        with self._explained("delete", key):
            path = self._path(key)
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return
            _sync(path.parent)

    def _path(self, key: str) -> Path:
        return self._root / checked(key)

    @contextmanager
    def _temporary(self, key: str, data: bytes) -> Iterator[tuple[Path, Path]]:
        """A durable file beside the key's place; the folder is durable when the block is left."""
        path = self._path(key)
        _make(path.parent)
        temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield temporary, path
        finally:
            temporary.unlink(missing_ok=True)
        _sync(path.parent)

    def _walk(self, folder: str, prefix: str, after: str) -> Iterator[str]:
        try:
            with os.scandir(self._root / folder) as entries:
                names = [entry.name + "/" * entry.is_dir() for entry in entries if entry.name[0] != "."]
        except (FileNotFoundError, NotADirectoryError):
            return
        # a folder sorts as its name and the slash, so that whole keys come in order
        for key in sorted(folder + name for name in names):
            if key.endswith("/"):
                if key.startswith(prefix) and (key > after or after.startswith(key)):
                    yield from self._walk(key, prefix, after)
            elif key.startswith(prefix) and key > after:
                yield key

    @contextmanager
    def _explained(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            held = DIRECTORY_MUST.get(error.errno or 0)
            kind, must = (StoreRefused, f": {held}") if held else (StoreError, "")
            raise kind(f"{self.url}: cannot {action} {key!r}{must}: {error.strerror or error}") from error


DIRECTORY_MUST = {
    errno.EACCES: "the folder must be writable",
    errno.EPERM: "the file system must allow hard links",
    errno.ENOTSUP: "the file system must allow hard links",
    errno.EROFS: "the file system must be writable",
    errno.ENOTDIR: "each part of the path must be a folder",
    errno.EEXIST: "each part of the path must be a folder",
    errno.EISDIR: "no folder may have the key's name",
    errno.ENAMETOOLONG: "the path must be short enough for the file system",
}


def _make(folder: Path) -> None:
    """Make a folder and its parents, each durable in the one above."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class StoreJournal:
    """A journal as one key per segment of any store."""

    full = False

    def __init__(self, store: Store) -> None:
        self._store = store

    def append(self, sequence: int, data: bytes) -> None:
        if sequence == 0:
            probe_conditional_writes(self._store)
        self._store.write_once(journal_key(sequence), data)

    def since(self, sequence: int) -> list[bytes]:
        # one read finds that nothing is new, which is the usual answer
        first = self._store.read(journal_key(sequence))
        if first is None:
            return []
        listed = self._store.list("journal/", after=journal_key(sequence))
        keys = [key for number, key in enumerate(listed, sequence + 1) if key == journal_key(number)]
        segments = [first]
        with ThreadPoolExecutor(READERS) as pool:
            for segment in pool.map(self._store.read, keys):
                if segment is None:
                    break
                segments.append(segment)
        return segments


READERS = 8  # a restart reads a journal of thousands of segments in seconds, not minutes


def probe_conditional_writes(store: Store) -> None:
    """Raises StoreRefused when the store overwrites what was to be written once.

    Two writers of one journal are told apart by nothing else.
    """
    try:
        for data in (b"first", b"second"):
            store.write_once(PROBE, data)
    except Taken:
        return
    raise StoreRefused(f"{store.url}: the store must honour conditional writes (If-None-Match: *)")
