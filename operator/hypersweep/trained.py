"""Where the model lies that somebody means: a sweep, a trial, an attempt, a model, or a file of one."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from hypersweep import contract, evidence, place
from hypersweep.model import FORM, OPTION, SCHEME, NoModel
from hypersweep.store import Store, StoreError, StoreRefused, open_store

DOCUMENT = "model.json"  # of a model's folder
ATTEMPTS = "attempts"
NAMED = contract.BEST.rpartition("/")[2]
FILES = (DOCUMENT, "weights.safetensors", NAMED)
DEPTH = 2  # folders above a sweep: on a cluster its store and its namespace
SHOWN = 5  # sweeps that a sentence names
LOOKED = (
    f"a model ({DOCUMENT}), a sweep with a best one ({contract.BEST}), a trial or an attempt, "
    "or a folder with one sweep below it"
)


def located(given: str, say: Callable[[str], None]) -> str:
    """The model's own folder, or its URL; what was passed over on the way is said.

    Raises ValueError that says what was looked for, and StoreError.
    """
    return place.shown(open_store(_located(given, say)))


def _located(given: str, say: Callable[[str], None]) -> str:
    if given.startswith(SCHEME):
        return _of_sweep(_named(given).url, given)
    folder, _, name = given.rstrip("/").rpartition("/")
    url = open_store((folder or ".") if name in FILES else given).url
    found = _here(url, given)
    return _of_sweep(f"{url}/{_one_below(url, given, say)}", given) if found is None else found


def _one_below(url: str, given: str, say: Callable[[str], None]) -> str:
    """The only sweep below a folder."""
    closed: list[str] = []
    sweeps = list(islice(_below(open_store(url), DEPTH, closed), SHOWN + 1))
    if not sweeps:
        but = f", as far as it can be read: {_some(closed)} cannot" if closed else ""
        raise ValueError(f"{given}: must be {LOOKED}, but there is none of these{but}")
    if closed:
        say(f"{given}: passed over what cannot be read: {_some(closed)}")
    if len(sweeps) > 1:
        raise ValueError(f"{given}: one sweep must lie there, but these do: {_some(sweeps)}")
    return sweeps[0]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def _named(given: str) -> Store:
    """The sweep of a name that ran here."""
    name, _, which = given.removeprefix(SCHEME).partition("/")
    if which != "best" or not name or name.startswith("."):
        raise ValueError(f"{given}: must have the form {FORM}")
    store = place.own_store(None, name)
    if store.read(contract.journal_key(0), 1) is None:
        raise ValueError(f"{given}: sweep {name} must have run here, but {place.shown(store)} holds none")
    return store


def _here(url: str, given: str) -> str | None:
    """The model that a place stands for by itself."""
    store = open_store(url)
    if _has(store, DOCUMENT):
        return url
    above, _, last = url.rpartition("/")
    if last == contract.MODEL and _has(store, NAMED):
        return _of_sweep(above, given)
    if _has(store, contract.BEST) or _has(store, contract.journal_key(0)):
        return _of_sweep(url, given)
    if _has(store, f"{contract.MODEL}/{DOCUMENT}"):
        return f"{url}/{contract.MODEL}"
    if any(_has(store, key) for key in (contract.PROBE, contract.PROGRESS, contract.RESULT)):
        raise ValueError(f"{given}: this attempt left no model: it has not ended well (yet), or saves none")
    return _of_trial(store, given)


def _of_sweep(url: str, given: str) -> str:
    try:
        found = evidence.best_model(open_store(url))
    except NoModel as error:
        raise ValueError(str(error).removeprefix(f"{OPTION}: ")) from error  # nobody wrote that option here
    if found is None:
        raise ValueError(f"{given}: this sweep has no best model: it did not succeed yet, or saves none")
    return found


def _of_trial(store: Store, given: str) -> str | None:
    """The model of the last attempt that left one; None where no attempt is."""
    numbers = {key.split("/")[1] for key in store.list(f"{ATTEMPTS}/")}
    attempts = sorted((int(number) for number in numbers if number.isdecimal()), reverse=True)
    for attempt in attempts:
        model = f"{ATTEMPTS}/{attempt}/{contract.MODEL}"
        if _has(store, f"{model}/{DOCUMENT}"):
            return f"{store.url}/{model}"
    if attempts:
        raise ValueError(
            f"{given}: no attempt of this trial left a model: none has ended well (yet), or they save none"
        )
    return None


def _below(store: Store, depth: int, closed: list[str], prefix: str = "") -> Iterator[str]:
    """The sweeps below a folder; `closed` comes to hold what cannot be read there."""
    for own in _folders(store, prefix):
        try:
            if _has(store, f"{own}/{contract.journal_key(0)}"):
                yield own
            elif depth > 1:
                yield from _below(store, depth - 1, closed, f"{own}/")
        except StoreError:
            closed.append(own)


def _folders(store: Store, prefix: str) -> Iterator[str]:
    """The folders right below one; what lies in them is never listed, since it may hold millions of keys."""
    if root := place.folder_of(store):
        yield from (f"{prefix}{name}" for name in _subfolders(root / prefix))
        return
    after = ""
    while key := next((key for key in store.list(prefix, after) if "/" in key[len(prefix) :]), None):
        own = prefix + key[len(prefix) :].partition("/")[0]
        yield own
        after = own + chr(ord("/") + 1)  # sorts behind all keys of the folder


def _subfolders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(one.name for one in entries if os.path.isdir(one) and not one.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreRefused(f"{folder}: must be readable: {error.strerror}") from error


def _has(store: Store, key: str) -> bool:
    with suppress(ValueError):  # a folder whose name no key can have
        return store.read(key, 1) is not None
    return False
