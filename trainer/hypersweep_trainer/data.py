"""Data as tensors on the device: loaded, split and encoded once, then read by row numbers."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.config import Config
from hypersweep_trainer.counter import shuffled
from hypersweep_trainer.options import DATASETS


@dataclass(frozen=True)
class Split:
    """Rows of one part: x is (n, features) or (n, channels, height, width), y is (n,)."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Data:
    train: Split
    val: Split
    test: Split | None  # None unless the trial may read it
    target: str
    outputs: int  # classes, or 1
    center: float = 0.0  # a regression's y is (original - center) / scale
    scale: float = 1.0
    digest: str = ""  # of the raw rows
    split_digest: str = ""  # of which row lies in which part

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row of x."""
        return tuple(self.train.x.shape[1:])


def load(config: Config, device: torch.device) -> Data:
    """The data of a configuration; trials that share it share the tensors."""
    options = config.options
    fractions = (options.val_fraction, options.test_fraction, config.fraction)
    task = str(config.resolved["task"])
    return _load(options.data, task, fractions, options.split_seed, config.final, str(device))


@lru_cache(maxsize=4)
def _load(
    name: str, task: str, fractions: tuple[float, float, float], seed: int, final: bool, device: str
) -> Data:
    x, labels, digest = _raw(name)
    regression = DATASETS[name].target == "regression"
    parts = split(labels, regression, fractions, seed)
    train = parts[0]
    x = _encode(x.reshape(len(x), 1, 8, 8) if task == "image" else x.reshape(len(x), -1), train)
    center, scale = (
        (float(labels[train].mean()), float(labels[train].std()) or 1.0) if regression else (0.0, 1.0)
    )
    y = ((labels - center) / scale).astype(np.float32) if regression else labels.astype(np.int64)

    def part(rows: NDArray[np.int64]) -> Split:
        return Split(torch.from_numpy(x[rows]).to(device), torch.from_numpy(y[rows]).to(device))

    return Data(
        part(parts[0]),
        part(parts[1]),
        part(parts[2]) if final and len(parts[2]) else None,
        target=DATASETS[name].target,
        outputs=1 if regression else int(labels.max()) + 1,
        center=center,
        scale=scale,
        digest=digest,
        split_digest=_digest(*parts),
    )


@lru_cache(maxsize=4)
def _raw(name: str) -> tuple[NDArray[Any], NDArray[Any], str]:
    datasets: Any = import_module("sklearn.datasets")  # takes a second
    loaded = getattr(datasets, f"load_{name}")()
    x, y = np.asarray(loaded.data, np.float64), np.asarray(loaded.target)
    return x, y, _digest(x, y)


def split(
    labels: NDArray[Any], regression: bool, fractions: tuple[float, float, float], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of training, validation and test: disjoint, class shares kept to one row each.

    The training rows of a smaller data fraction are among those of a larger one.
    """
    val_fraction, test_fraction, kept = fractions
    strata = np.zeros(len(labels), np.int64) if regression else labels
    order = stratified(strata, seed, "val")
    val, rest = np.split(order, [max(1, round(val_fraction * len(labels)))])
    rest = rest[stratified(strata[rest], seed, "test")]
    test, train = np.split(rest, [round(test_fraction * len(labels))])
    train = train[stratified(strata[train], seed, "train")]
    return np.sort(train[: max(1, round(kept * len(train)))]), np.sort(val), np.sort(test)


def stratified(strata: NDArray[Any], seed: int, purpose: str) -> NDArray[np.int64]:
    """An order of the rows in which every beginning holds each class in its share, to within one row."""
    place = np.empty(len(strata))
    for number, label in enumerate(np.unique(strata)):
        rows = np.flatnonzero(strata == label)
        rows = rows[shuffled(len(rows), seed, purpose, number)]
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.lexsort((strata, place))


def _encode(x: NDArray[Any], train: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean 0 and deviation 1 over the training rows: per channel of images, per column of tables."""
    axes = (0, *range(2, x.ndim))
    mean = x[train].mean(axes, keepdims=True)
    deviation = x[train].std(axes, keepdims=True)
    encoded: NDArray[np.float32] = ((x - mean) / np.where(deviation > 0, deviation, 1.0)).astype(np.float32)
    return encoded


def _digest(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
