"""The journal of a sweep that names no store: one ConfigMap, which goes with the sweep."""

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from hypersweep.contract import LABEL_MANAGED_BY, LABEL_SWEEP, LABEL_UID, MANAGER
from hypersweep.store import StoreError, StoreRefused, Taken

FOLD = 50  # segments that are kept apart; together they compress to about a third
FULL = 900 * 1024  # bytes from which on nothing is launched any more
LIMIT = 1024 * 1024 - 16 * 1024  # the API server refuses 1 MiB of values
TRIES = 5
TIMEOUT = (3, 10)  # seconds to connect, and between two bytes


class JournalFull(StoreError):
    """The ConfigMap cannot take the segment."""


class NameConflict(StoreError):
    """The ConfigMap belongs to somebody else; to a deleted sweep of the same name, it is gone soon."""


class ConfigMaps(Protocol):
    """What the journal needs of `kubernetes.client.CoreV1Api`."""

    def read_namespaced_config_map(self, name: str, namespace: str, **options: Any) -> Any: ...

    def create_namespaced_config_map(self, namespace: str, body: Any, **options: Any) -> Any: ...

    def replace_namespaced_config_map(self, name: str, namespace: str, body: Any, **options: Any) -> Any: ...


class ConfigMapJournal:
    """Segments as keys of one ConfigMap, each write guarded by its resourceVersion.

    A key is a number or, once folded, a range of numbers; its value are the segments, each behind its
    length, compressed together. Only one thread uses a journal at a time.
    """

    def __init__(
        self, api: ConfigMaps, namespace: str, name: str, owner_reference: Mapping[str, Any]
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._owner = dict(owner_reference)
        self._held: Any = None  # as the API server last answered; None: read before the next write
        self._size = 0

    @property
    def full(self) -> bool:
        return self._size >= FULL

    def append(self, sequence: int, data: bytes) -> None:
        for _ in range(TRIES):
            held = self._held or self._read()
            values = _values(held)
            count = _next(values)
            if sequence < count:
                if self._segments(values)[sequence] != data:
                    raise Taken(f"{self._place}, segment {sequence}")
                return
            if sequence > count:
                must = f"its first {sequence} segments must be there, but {count} are: deleted or edited"
                raise StoreRefused(f"{self._place}: {must}")
            if self._write(held, self._folded(values | {_key(sequence, 1): _pack([data])})):
                return
        raise StoreError(f"{self._place}: other writers do not come to an end")

    def since(self, sequence: int) -> list[bytes]:
        return self._segments(_values(self._read()))[sequence:]

    @property
    def _place(self) -> str:
        return f"configmap {self._namespace}/{self._name}"

    def _read(self) -> Any:
        self._held = None
        with self._explained("read"):
            try:
                self._hold(
                    self._api.read_namespaced_config_map(
                        self._name, self._namespace, _request_timeout=TIMEOUT
                    )
                )
            except ApiException as error:
                if error.status != 404:
                    raise
                self._hold(None)
        return self._held

    def _hold(self, answer: Any) -> None:
        owners = [] if answer is None else answer.metadata.owner_references or []
        if answer is not None and not any(o.controller and o.uid == self._owner["uid"] for o in owners):
            raise NameConflict(f"{self._place}: it must belong to the sweep, but it is somebody else's")
        self._held = answer
        self._size = sum(map(len, _values(answer).values()))

    def _write(self, held: Any, values: Mapping[str, bytes]) -> bool:
        """Whether nobody else wrote since `held` was read."""
        size = sum(map(len, values.values()))
        if size > LIMIT:
            raise JournalFull(f"{self._place}: at most {LIMIT} bytes must hold, but got {size}")
        data = {key: base64.b64encode(value).decode() for key, value in values.items()}
        self._held = None  # unknown until the answer is there
        with self._explained("write"):
            try:
                if held is None:
                    answer = self._api.create_namespaced_config_map(
                        self._namespace, self._body(data), _request_timeout=TIMEOUT
                    )
                else:
                    held.binary_data = data
                    answer = self._api.replace_namespaced_config_map(
                        self._name, self._namespace, held, _request_timeout=TIMEOUT
                    )
            except ApiException as error:
                if error.status in (404, 409):
                    return False
                raise
        self._hold(answer)
        return True

    def _body(self, data: Mapping[str, str]) -> dict[str, Any]:
        labels = {
            LABEL_SWEEP: self._owner["name"],
            LABEL_UID: self._owner["uid"],
            LABEL_MANAGED_BY: MANAGER,
        }
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self._name, "labels": labels, "ownerReferences": [self._owner]},
            "binaryData": data,
        }

    def _folded(self, values: dict[str, bytes]) -> dict[str, bytes]:
        """The same segments in fewer keys, once many are single or room is short."""
        single = [key for key, numbers in _ranges(values) if len(numbers) == 1]
        if len(single) <= FOLD and sum(map(len, values.values())) < FULL:
            return values
        packed = _pack(segment for key in single for segment in _unpack(values[key]))
        rest = {key: value for key, value in values.items() if key not in single}
        return rest | {_key(int(single[0]), len(single)): packed}

    def _segments(self, values: Mapping[str, bytes]) -> list[bytes]:
        try:
            return [segment for key, _ in _ranges(values) for segment in _unpack(values[key])]
        except zlib.error as error:
            raise StoreRefused(f"{self._place}: it must hold a journal and nothing else: {error}") from error

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            if error.status in (401, 403):
                must = "the operator must be allowed to get, create and update ConfigMaps"
                raise StoreRefused(f"{self._place}: cannot {action}: {must}: {error.reason}") from error
            raise StoreError(f"{self._place}: cannot {action}: {error.status} {error.reason}") from error
        except HTTPError as error:
            raise StoreError(f"{self._place}: cannot {action}: {error}") from error


def _key(first: int, count: int) -> str:
    return f"{first:06d}" if count == 1 else f"{first:06d}-{first + count - 1:06d}"


def _ranges(values: Mapping[str, bytes]) -> list[tuple[str, range]]:
    """The keys and the segments that each holds, in order, up to a gap."""
    found: list[tuple[str, range]] = []
    for key in sorted(values):
        first, _, last = key.partition("-")
        if not first.isdecimal() or int(first) != (found[-1][1].stop if found else 0):
            break
        found.append((key, range(int(first), int(last or first) + 1)))
    return found


def _next(values: Mapping[str, bytes]) -> int:
    ranges = _ranges(values)
    return ranges[-1][1].stop if ranges else 0


def _values(held: Any) -> dict[str, bytes]:
    data = (held and held.binary_data) or {}
    return {key: base64.b64decode(value) for key, value in data.items()}


def _pack(segments: Iterable[bytes]) -> bytes:
    return zlib.compress(b"".join(len(s).to_bytes(4, "big") + s for s in segments), level=9)


def _unpack(value: bytes) -> list[bytes]:
    data, segments, at = zlib.decompress(value), [], 0
    while at < len(data):
        start = at + 4
        at = start + int.from_bytes(data[at:start], "big")
        segments.append(data[start:at])
    return segments
