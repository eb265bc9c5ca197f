"""Merges a pod template over another one, as a strategic merge patch does."""

from collections.abc import Mapping
from typing import Any

# what tells the entries of a list apart; every other list is replaced
KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
}
KEPT = (*KEYS, "metadata", "labels", "spec")  # empty they say nothing: a trial without them would be none
# a variable has one kind of value and a volume one source: the parts of two would be none
WHOLE = ("env", "volumes")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with what `over` says: objects and keyed lists merge, null removes, the rest replaces."""
    merged = dict(base)
    for name, value in over.items():
        if value is not None:
            merged[name] = _merged(name, merged.get(name), value)
        elif name not in KEPT:
            merged.pop(name, None)
    return merged


def _merged(name: str, base: Any, over: Any) -> Any:
    if isinstance(over, Mapping):
        return merge(base if isinstance(base, Mapping) else {}, over)
    key = KEYS.get(name)
    if key is None or not _keyed(over, key):
        return over  # a list without its keys is the API server's to refuse
    entries = {entry[key]: entry for entry in base or ()}
    for entry in over:
        known = {} if name in WHOLE else entries.get(entry[key], {})
        entries[entry[key]] = merge(known, entry)
    return list(entries.values())


def _keyed(value: Any, key: str) -> bool:
    return isinstance(value, list) and all(
        isinstance(e, Mapping) and isinstance(e.get(key), str) for e in value
    )
