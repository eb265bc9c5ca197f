"""Which rows train, validate and test: a function of options that no trial changes."""

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.counter import shuffled
from hypersweep_trainer.data.digest import digest
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.options import Options

Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of each part, rising; of a stream of tokens the positions, in blocks in this order."""

    train: Places
    val: Places
    test: Places

    @property
    def digest(self) -> str:
        return digest(self.train, self.val, self.test)


def rows(count: int, labels: NDArray[Any], options: Options, fraction: float) -> Split:
    """Split `count` rows, of which `fraction` of the usual training rows train.

    The test part is set aside first, so that neither `val_fraction` nor folds change it; each part holds
    the classes in their share of the rows it is taken from, to less than one row; the training rows of a
    smaller fraction are among those of a larger one. Tokens keep their order. Raises DataError.
    """
    fraction *= options.subset_fraction
    if options.target == "tokens":
        return _in_order(count, options, fraction)
    stratify = options.target == "classification" and options.stratify
    strata = labels if stratify else np.zeros(count, np.int64)
    seed = options.split_seed

    test = stratified(strata, round(options.test_fraction * count), seed, "test")
    rest = np.delete(np.arange(count), test)
    _enough(count, len(rest), options)
    if options.folds:
        chosen = np.flatnonzero(folds(strata[rest], options.folds, seed, "folds") == options.fold)
    else:
        chosen = stratified(strata[rest], _share(options.val_fraction, count), seed, "val")
    val, train = rest[chosen], np.delete(rest, chosen)
    kept = _share(fraction, len(train))
    if kept < len(train):
        train = train[stratified(strata[train], kept, seed, "train")]
    return Split(np.sort(train), np.sort(val), np.sort(test))


def stratified(strata: NDArray[Any], count: int, seed: int, purpose: str) -> Places:
    """The first `count` places of an order of the rows: every beginning holds each class in its share.

    No class is ever a whole row off (Tijdeman 1980 shows that this can be; see `_turns`).
    """
    classes, codes, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    turns = _turns(sizes.tolist(), count)
    order = np.empty(count, np.int64)
    for code in range(len(classes)):
        members = np.flatnonzero(codes == code)
        mine = np.flatnonzero(turns == code)
        order[mine] = members[shuffled(len(members), seed, purpose, code)[: len(mine)]]
    return order


def _turns(sizes: list[int], count: int) -> Places:
    """Which class comes at each place, earliest deadline first, as fair schedulers do (Baruah et al. 1996).

    The row of a class that has `done` before it comes after that many of the class's even steps, and before
    the next one ends.
    """
    total, done, turns = sum(sizes), [0] * len(sizes), np.zeros(count, np.int64)
    if len(sizes) < 2:
        return turns
    waiting: list[tuple[int, int]] = [(0, code) for code in range(len(sizes))]
    ready: list[tuple[int, int]] = []
    for place in range(count):
        while waiting and waiting[0][0] <= place:
            _, code = heappop(waiting)
            heappush(ready, (-(-(done[code] + 1) * total // sizes[code]), code))
        _, code = heappop(ready)
        turns[place] = code
        done[code] += 1
        if done[code] < sizes[code]:
            heappush(waiting, (done[code] * total // sizes[code], code))
    return turns


def folds(strata: NDArray[Any], count: int, seed: int, purpose: str) -> Places:
    """The fold of each row, (n,): sizes differ by one at most, and so do the rows of each class in them."""
    order = shuffled(len(strata), seed, purpose)
    order = order[np.argsort(strata[order], kind="stable")]
    fold = np.empty(len(strata), np.int64)
    fold[order] = np.arange(len(strata)) % count
    return fold


def _in_order(count: int, options: Options, fraction: float) -> Split:
    rest = np.arange(count - round(options.test_fraction * count))
    test = np.arange(len(rest), count)
    _enough(count, len(rest), options)
    if options.folds:
        blocks = np.array_split(rest, options.folds)
        val = blocks.pop(options.fold)
        train = np.concatenate(blocks)
    else:
        train, val = np.split(rest, [len(rest) - _share(options.val_fraction, count)])
    return Split(train[: _share(fraction, len(train))], val, test)


def _share(fraction: float, count: int) -> int:
    return max(1, round(fraction * count))


def _enough(count: int, rest: int, options: Options) -> None:
    """Raise DataError unless some rows are left to train and some to validate."""
    least = options.folds or _share(options.val_fraction, count) + 1
    if rest < least:
        raise DataError(
            f"{options.data}: {count} rows leave {rest} beside the test part, "
            f"but training and validation need at least {least}"
        )
