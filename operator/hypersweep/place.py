"""Where a local run keeps its results, its identity, and the lock that makes it the only one."""

import fcntl
import hashlib
import os
import time
import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hypersweep import evidence
from hypersweep.contract import journal_key
from hypersweep.model import NoModel
from hypersweep.store import Store, StoreRefused, Taken, open_store, sub

RUNS = "runs"
UID = "uid"
PATIENCE = 6.0  # seconds: the guard of a run that died holds its lock until everything of it is gone
DOUBT = 1.0  # seconds for a run that looks alive: killed, it does until its parent has asked for its status


class Busy(Exception):
    """Another process runs the sweep."""


def own_store(root: str | None, name: str) -> Store:
    """The part of a store that is one sweep's own; without a root, of `runs` in this folder."""
    return sub(open_store(root or RUNS), name)


def best_model(root: str | None, name: str) -> str:
    """The URL of the best model of another sweep below the same root. Raises NoModel and StoreError."""
    store = own_store(root, name)
    found = evidence.best_model(store)
    if found is None and store.read(journal_key(0), 1) is None:
        raise NoModel(f"sweep {name}", "NotFound", f"must have run here, but {shown(store)} holds none")
    if found is None:
        raise NoModel(
            f"sweep {name}", "NoBest", f"must have left a best model, but {shown(store)} has none (yet)"
        )
    return found


def identity(store: Store) -> str:
    """The uid of the sweep that lies here; made on the first run."""
    made = str(uuid.uuid4())
    found = store.read(UID)
    if found is None:
        try:
            store.write_once(UID, made.encode())
        except Taken:
            found = store.read(UID)
    return (found or made.encode()).decode().strip()


def lock(store: Store) -> int:
    """Take the lock of a sweep and return its descriptor; raises Busy when somebody holds it."""
    path = _lock_file(store)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreRefused(f"{path}: must be writable: {error.strerror}") from error
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            holder = os.read(descriptor, 32).decode().strip()
            os.lseek(descriptor, 0, os.SEEK_SET)
            if time.monotonic() - began > (DOUBT if _alive(holder) else PATIENCE):
                os.close(descriptor)
                raise Busy(f"another process (pid {holder or 'unknown'}) is running this sweep") from None
            time.sleep(0.05)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _lock_file(store: Store) -> Path:
    if folder := folder_of(store):
        return folder / ".lock"  # no key of a store begins with a dot
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "hypersweep" / "locks" / hashlib.sha256(store.url.encode()).hexdigest()[:16]


def folder_of(store: Store) -> Path | None:
    """The folder of a store that is one on this machine."""
    parts = urlsplit(store.url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def shown(store: Store) -> str:
    """Where a store lies, as short as a person would write it."""
    folder = folder_of(store)
    if folder is None:
        return store.url
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)
