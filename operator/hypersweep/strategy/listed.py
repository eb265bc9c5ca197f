"""The configurations that a manifest lists, in its order; one that is listed twice runs once."""

from collections.abc import Iterator

from hypersweep.api import SweepSpec
from hypersweep.journal import History
from hypersweep.space import Value
from hypersweep.trial import identity


def points(spec: SweepSpec, history: History, first: int) -> Iterator[tuple[int, dict[str, Value]]]:
    """The listed configurations from an index on."""
    seen: set[str] = set()
    for index, parameters in enumerate(spec.listed):
        key = identity(parameters)
        if index >= first and key not in seen:
            yield index, dict(parameters)
        seen.add(key)


def size(spec: SweepSpec) -> int:
    return len(set(map(identity, spec.listed)))
