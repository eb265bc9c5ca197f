"""Which rows train, validate and test: a function of options that no trial changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.counter import shuffled
from hypersweep_trainer.data.digest import digest, spans
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.options import Options

Places = NDArray[np.int64]
Runs = tuple[range, ...]


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of each part, rising; of a stream of tokens the positions, in blocks in this order."""

    train: Places
    val: Places
    test: Places

    @property
    def digest(self) -> str:
        return digest(self.train, self.val, self.test)


@dataclass(frozen=True)
class Cut:
    """The same of a stream, as runs of positions: there may be more of them than numbers fit into memory."""

    train: Runs
    val: Runs
    test: Runs

    @property
    def digest(self) -> str:
        return spans(self.train, self.val, self.test)


def rows(count: int, labels: NDArray[Any], options: Options, fraction: float) -> Split:
    """Split `count` rows, of which `fraction` of the usual training rows train.

    The test part is set aside first, so that neither `val_fraction` nor folds change it; each part holds
    the classes in their share of the rows it is taken from, to less than one row where that leaves none
    out: a class of two rows trains and validates, one of three stands in every part, in the place of rows of
    larger classes, if the part has as many rows as there are classes. The training rows of a smaller fraction
    are among those of a larger one. Tokens keep their order. Raises DataError.
    """
    if options.target == "tokens":
        blocks = cut(count, options, fraction)
        return Split(*map(numbers, (blocks.train, blocks.val, blocks.test)))
    fraction *= options.subset_fraction
    stratify = options.target == "classification" and options.stratify
    strata = labels if stratify else np.zeros(count, np.int64)
    seed = options.split_seed

    test = part(strata, round(options.test_fraction * count), seed, "test", spare=2)
    rest = np.delete(np.arange(count), test)
    _enough(count, len(rest), options)
    if options.folds:
        chosen = np.flatnonzero(folds(strata[rest], options.folds, seed, "folds") == options.fold)
    else:
        chosen = part(strata[rest], _share(options.val_fraction, count), seed, "val", spare=1)
    val, train = rest[chosen], np.delete(rest, chosen)
    kept = _share(fraction, len(train))
    if kept < len(train):
        train = train[part(strata[train], kept, seed, "train", spare=0)]
    return Split(np.sort(train), np.sort(val), np.sort(test))


def part(strata: NDArray[Any], count: int, seed: int, purpose: str, spare: int) -> Places:
    """So many places of rows, of each class its share, and one at least that leaves `spare` rows of it."""
    turns = stratified(strata, count, seed, purpose)
    classes, codes, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    shares = np.bincount(codes[turns], minlength=len(classes))
    counts = _all_there(shares, sizes, spare)
    if (counts == shares).all():
        return turns
    drawn = [
        np.flatnonzero(codes == code)[shuffled(int(sizes[code]), seed, purpose, code)[: counts[code]]]
        for code in range(len(classes))
    ]
    return np.concatenate(drawn)


def _all_there(shares: Places, sizes: Places, spare: int) -> Places:
    """How many rows of each class a part of as many rows takes, when none is to be left out.

    The largest classes give up rows for those that have none, and take those that others cannot spare. So the
    rows of each class never become fewer when the part becomes larger (with nothing to spare).
    """
    low, high = (sizes > spare).astype(np.int64), np.maximum(sizes - spare, 0)
    counts = np.clip(shares, low, high)
    over = int(counts.sum() - shares.sum())
    largest = np.argsort(-sizes, kind="stable")
    # Where there are fewer rows than classes, or fewer to spare than asked for, small ones keep their shares.
    for order, ends in ((largest, low if over > 0 else high), (largest[::-1], shares)):
        for code in order:
            room = int(counts[code] - ends[code])
            moved = min(max(over, min(room, 0)), max(room, 0))
            counts[code] -= moved
            over -= moved
    return counts


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


def numbers(places: Places | Runs) -> Places:
    """The positions of a part, one by one."""
    if not isinstance(places, tuple):
        return places
    return np.concatenate([np.arange(run.start, run.stop) for run in places])


def cut(count: int, options: Options, fraction: float) -> Cut:
    """Split a stream of `count` tokens into blocks in their order, as `rows` does; raises DataError."""
    fraction *= options.subset_fraction
    rest = count - round(options.test_fraction * count)
    _enough(count, rest, options)
    if options.folds:
        blocks = [range(*ends) for ends in pairwise(_bounds(rest, options.folds))]
        val = blocks.pop(options.fold)
    else:
        bound = rest - _share(options.val_fraction, count)
        blocks, val = [range(bound)], range(bound, rest)
    kept = _share(fraction, sum(map(len, blocks)))
    return Cut(_first(blocks, kept), (val,), (range(rest, count),))


def _first(blocks: Sequence[range], count: int) -> Runs:
    """The first `count` numbers of ranges."""
    found: list[range] = []
    for block in blocks:
        found.append(block[: count - sum(map(len, found))])
    return tuple(block for block in found if block)


def _bounds(count: int, parts: int) -> list[int]:
    """Where parts begin and end of which the first ones are larger by one where they cannot be equal."""
    size, more = divmod(count, parts)
    return [part * size + min(part, more) for part in range(parts + 1)]


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
