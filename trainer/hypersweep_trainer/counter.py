"""Randomness from counters: a draw depends on seed, purpose and step, never on earlier draws."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def draw(*key: int | str) -> int:
    """A seed of 63 bits from what it is for; equal keys give equal seeds on every machine and version."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def shuffled(count: int, *key: int | str) -> NDArray[np.int64]:
    """A permutation of `count` rows: each row's hash (splitmix64) decides its place."""
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(draw(*key))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return np.argsort(z, kind="stable").astype(np.int64)
