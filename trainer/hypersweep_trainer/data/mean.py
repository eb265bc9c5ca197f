"""Target encoding: a category as the mean target of its rows (Micci-Barreca 2001)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.data.column import Linear
from hypersweep_trainer.data.split import folds
from hypersweep_trainer.options import Options

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]
FOLDS = 5  # of the training rows, as scikit-learn's TargetEncoder has


def fitted(codes: Codes, count: int, y: NDArray[Any], options: Options) -> tuple[tuple[float, ...], ...]:
    """What each of `count` codes becomes, (count, k), of training rows with codes and targets y (n,)."""
    scales = _scales(codes, count, y, options)
    encoded = means(codes, count, _targets(y, options), options.target_smooth)
    return tuple(map(tuple, _scaled(encoded, scales).tolist()))


def crossed(codes: Codes, count: int, y: NDArray[Any], options: Options) -> Numbers:
    """What training rows become, (n, k): each by the mean target of the other folds' rows."""
    return _scaled(_crossed(codes, count, y, options), _scales(codes, count, y, options))


def means(codes: Codes, count: int, targets: Numbers, smooth: float) -> Numbers:
    """The mean target of each code, (count, k), and of `smooth` rows more that have the mean of all."""
    rows = np.bincount(codes, minlength=count)[:, None]
    overall = targets.sum(0) / max(len(targets), 1)
    totals = np.stack([np.bincount(codes, one, minlength=count) for one in targets.T], 1)
    pulled: Numbers = (totals + smooth * overall) / np.maximum(rows + smooth, 1e-300)
    return np.where(rows > 0, pulled, overall)


def fold(y: NDArray[Any], options: Options) -> Codes:
    """The fold of each training row, (n,), classes spread evenly."""
    strata = y if options.target == "classification" else np.zeros(len(y), np.int64)
    return folds(strata, FOLDS, options.split_seed, "target")


def _crossed(codes: Codes, count: int, y: NDArray[Any], options: Options) -> Numbers:
    targets, member = _targets(y, options), fold(y, options)
    encoded = np.empty(targets.shape)
    for number in range(FOLDS):
        others = member != number
        by_code = means(codes[others], count, targets[others], options.target_smooth)
        encoded[~others] = by_code[codes[~others]]
    return encoded


def _targets(y: NDArray[Any], options: Options) -> Numbers:
    """What means are taken of, (n, k): the number, or whether it is a class (of two, the second alone)."""
    if options.target != "classification":
        return y.astype(np.float64)[:, None]
    classes = np.arange(max(int(y.max()), 1) + 1)
    member: NDArray[np.bool_] = y[:, None] == (classes if len(classes) > 2 else classes[1:])
    return member.astype(np.float64)


def _scales(codes: Codes, count: int, y: NDArray[Any], options: Options) -> list[Linear]:
    """Means are numbers like any other, so that they are centred and scaled with them."""
    encoded = _crossed(codes, count, y, options).T
    return [Linear(0.0, 1.0) if options.num_encoder == "none" else Linear.fit(one) for one in encoded]


def _scaled(cells: Numbers, scales: list[Linear]) -> Numbers:
    return np.stack([scale.apply(one) for scale, one in zip(scales, cells.T, strict=True)], 1)
