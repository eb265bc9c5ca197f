"""Checkpoints: data first, then a manifest with size and hash; resume from the newest that is whole."""

import hashlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from hypersweep.contract import CHECKPOINTS
from hypersweep.store import Store
from hypersweep_trainer.writer import Writer

KEPT = 2  # checkpoints of an attempt; the older one outlives a kill while the newer one is written
MANIFEST_LIMIT = 64 * 1024


@dataclass(frozen=True)
class State:
    """All that a run needs to go on as if nothing had happened; plain types and tensors only."""

    identity: str  # of the configuration and its data
    step: int  # steps done
    model: dict[str, Any]
    optimizer: dict[str, Any]
    losses: list[float]  # each rank's sum of training losses in the epoch that is under way
    rows: list[dict[str, Any]] = field(default_factory=list)  # of the epochs that are measured
    parts: dict[str, Any] = field(default_factory=dict)  # of what some runs have beside these, by its name


class Checkpoints:
    """The checkpoints of a trial: those of all its attempts to read, the last one's to write."""

    def __init__(self, attempts: Sequence[Store], pod: str, writer: Writer) -> None:
        self._attempts, self._pod, self._writer = attempts, pod, writer
        self._kept: list[str] = []
        self._saved = time.monotonic()
        self._unwritten: set[str] = set()  # handed in: a store that is away must not fill the memory

    def newest(self, identity: str) -> bytes | None:
        """The newest checkpoint of this configuration whose bytes are what its manifest says."""
        found = [
            (key, attempt)
            for attempt, store in enumerate(self._attempts)
            for key in store.list(f"{CHECKPOINTS}/")
            if key.endswith(".json")
        ]
        for key, attempt in sorted(found, reverse=True):  # a key begins with its step
            data = _whole(self._attempts[attempt], key, identity)
            if data is not None:
                return data
        return None

    def note(self, key: str) -> bytes | None:
        """What the last attempt that did left under a key."""
        found = (store.read(key, MANIFEST_LIMIT) for store in reversed(self._attempts))
        return next((data for data in found if data is not None), None)

    @property
    def kept(self) -> bool:
        """Whether the store holds one of the last attempt."""
        return bool(self._kept)

    def due(self, seconds: float) -> bool:
        """Whether the last one is that old; never while it is being written, nor without a store."""
        return time.monotonic() - self._saved >= seconds and bool(self._attempts) and not self._unwritten

    def save(self, state: State) -> bool:
        """Hand in a checkpoint; False when there is no store for it."""
        if not self._attempts:
            return False
        buffer = io.BytesIO()
        torch.save({entry.name: getattr(state, entry.name) for entry in fields(state)}, buffer)
        data = buffer.getvalue()
        # Two stages of a run may be as far; a pod's names are written by nobody else.
        place = f"{state.step:012d}-{len(state.rows):06d}-{state.identity[:12]}-{self._pod}"
        name = f"{CHECKPOINTS}/{place}"
        manifest = {
            "key": f"{name}.pt",
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "step": state.step,
            "identity": state.identity,
            "time": time.time(),
        }
        self._unwritten.add(name)
        self._writer.put(lambda: self._write(name, data, json.dumps(manifest).encode()))
        self._saved = time.monotonic()
        return True

    def _write(self, name: str, data: bytes, manifest: bytes) -> None:
        own = self._attempts[-1]
        own.write(f"{name}.pt", data)
        own.write(f"{name}.json", manifest)
        self._unwritten.discard(name)
        if name not in self._kept:  # what a store refused half-way is done again from the start
            self._kept.append(name)
        while len(self._kept) > KEPT:
            own.delete(f"{self._kept[0]}.json")  # before its data: a manifest never points to nothing
            own.delete(f"{self._kept[0]}.pt")
            del self._kept[0]


def read(data: bytes) -> State:
    """The state in a checkpoint, on the CPU: network and optimizer put each part where they have it."""
    return State(**torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))


def _whole(store: Store, key: str, identity: str) -> bytes | None:
    """The data behind a manifest; None when it is another configuration's, or not what was written."""
    try:
        manifest = json.loads(store.read(key, MANIFEST_LIMIT) or b"null")
        if manifest["identity"] != identity:
            return None
        data = store.read(manifest["key"])
        whole = data is not None and hashlib.sha256(data).hexdigest() == manifest["sha256"]
    except (ValueError, TypeError, KeyError):
        return None
    return data if whole else None
