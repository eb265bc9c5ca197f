"""One word for a set of arrays, equal for equal ones on every machine."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 20  # numbers that are made at a time


def digest(*parts: NDArray[Any] | Iterable[str | None]) -> str:
    """16 hexadecimal digits of a SHA-256 over numbers and texts, their shapes and types included."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype != object:
            total.update(repr((part.shape, part.dtype.str)).encode())
            total.update(np.ascontiguousarray(part).data)
        else:
            total.update(repr(list(part)).encode())
    return total.hexdigest()[:16]


def spans(*parts: Sequence[range]) -> str:
    """What `digest` gives for the numbers of ranges, one array for each part, of which none is made."""
    total = hashlib.sha256()
    for part in parts:
        total.update(repr(((sum(map(len, part)),), np.dtype(np.int64).str)).encode())
        for run in part:
            for start in range(run.start, run.stop, CHUNK):
                total.update(np.arange(start, min(start + CHUNK, run.stop)).data)
    return total.hexdigest()[:16]
