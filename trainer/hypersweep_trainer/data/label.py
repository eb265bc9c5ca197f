"""What is predicted: a column's cells as classes or as numbers, and whether training can use them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.options import Options

MANY, ROWS = 20, 10  # more classes that are numbers, with fractions or fewer rows each, are none
LARGEST = 1e150  # number whose square float64 still holds, with a sum of many such
TRUTH = {word: name for name in ("False", "True") for word in (name, name.lower(), name.upper())}
MEASURED = ("numbers", "dates")  # of KINDS, those that a regression predicts


def number(cell: str) -> float:
    """The number that a cell holds; raises ValueError, also for 1_000, which only Python takes for one."""
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


KINDS: Mapping[str, Callable[[str], object]] = {  # of cells that a column of numbers can be read from
    "numbers": number,
    "dates": datetime.fromisoformat,
    "truth values": lambda cell: ("false", "true").index(cell.lower()),
}
Codes = NDArray[np.int64]


def classes(cells: NDArray[Any], where: str) -> tuple[Codes, tuple[str, ...]]:
    """Class codes (n,) and the classes' names by code, numbers in their order; raises DataError.

    Cells are numbers, truth values or text, None where it is empty; their names are those of `plain`.
    """
    whole(cells, where, "a class")
    found, codes = np.unique(cells.astype(str) if cells.dtype == object else cells, return_inverse=True)
    words = spelled(found)
    names = plain(words)
    kinds = {kind(word) for word in words}
    what = kinds.pop() if len(kinds) == 1 else ""
    values = np.array([number(word) for word in words]) if what == "numbers" else _ranks(names)
    whole(values[codes], where, "a class")
    rare = len(words) > len(cells) / ROWS or bool((values != np.round(values)).any())
    if what in MEASURED and len(words) > MANY and rare:
        raise DataError(
            f"{where}: holds {len(words)} different {what} in {len(cells)} rows: too many classes; "
            f"where the {what.removesuffix('s')} itself is to be predicted, set target: regression"
        )
    ordered = tuple(dict.fromkeys(names[place] for place in np.argsort(values, kind="stable")))
    code = {name: place for place, name in enumerate(ordered)}
    return np.array([code[name] for name in names], np.int64)[codes], ordered


def _ranks(words: Sequence[str]) -> NDArray[Any]:
    """The place of each word (n,) among them in their order."""
    return np.unique(np.array(words), return_inverse=True)[1]


def spelled(cells: NDArray[Any]) -> list[str]:
    """Cells (n,) without gaps as a person writes them: 3 for the number 3.0, True for a truth value."""
    return text(cells) if cells.dtype.kind == "f" else [str(cell) for cell in cells.tolist()]


def plain(words: Sequence[str]) -> list[str]:
    """The names of classes that are spelled so, of which two may have one name.

    A number is 1 also where it is spelled 1.0, and a truth value True or False also where it is spelled true
    or FALSE. But where one of the words is neither, or a number spelled otherwise, as 01 and 1.50 are, each
    is a name as it stands there.
    """
    for name in (_number, TRUTH.get):
        names = [name(word.strip()) for word in words]
        if None not in names:
            return [found for found in names if found is not None]
    return list(words)


def _number(word: str) -> str | None:
    """The name of a number, None where it would not give back how the number is spelled."""
    if word in ("-0", "-0.0"):  # what rounding leaves of a small number
        return "0"
    for name, read in ((word.removesuffix(".0"), int), (word, float)):
        try:
            if str(read(name)) == name:
                return name
        except ValueError:
            continue
    return None


def numbers(cells: NDArray[Any], where: str) -> NDArray[np.float64]:
    """Finite numbers (n,); raises DataError."""
    cells = parsed(cells, where, "a regression")
    whole(cells, where, "a finite number")
    moderate(cells, where)
    return cells.astype(np.float64)


def parsed(cells: NDArray[Any], where: str, who: str) -> NDArray[Any]:
    """Cells as numbers, NaN where they are empty; raises DataError for text that is none.

    One cell that is no date makes text of a column of dates: it is told, not the dates.
    """
    if cells.dtype != object:
        return cells
    kinds = [None if cell is None else kind(cell) for cell in cells]
    if {None, "numbers"} >= set(kinds):
        return np.array([np.nan if cell is None else float(cell) for cell in cells])
    count = Counter(kinds)
    need = max(KINDS, key=count.__getitem__)
    if not set(kinds) - {None, need}:
        need = "numbers"
    row = first(np.array([found not in (None, need) for found in kinds]))
    raise DataError(f"{where}: row {row} is {cells[row - 1]!r}, but {who} needs {need}")


def whole(cells: NDArray[Any], where: str, need: str) -> None:
    """Raise DataError where a cell is empty or infinite."""
    for found, word in ((empty(cells), "empty"), (infinite(cells), "infinite")):
        if found.any():
            raise DataError(f"{where}: row {first(found)} is {word}, but each row needs {need}")


def moderate(cells: NDArray[Any], where: str) -> None:
    """Raise DataError for a number that has no square."""
    large = np.abs(np.nan_to_num(cells)) > LARGEST
    if large.any():
        row = first(large)
        raise DataError(f"{where}: row {row} is {cells[row - 1]:g}, but must be within ±{LARGEST:g}")


def check(raw: Raw, options: Options) -> None:
    """Raise DataError for targets that the split or the loss cannot use."""
    if raw.target == "classification":
        _divisible(raw, options)
    if raw.target == "regression":
        varied(raw.labels, raw, options.data, "row")
        _apart(raw, options)
    if raw.target == "regression" and options.loss == "mape":
        _no_zero(raw, options)
    if raw.target == "regression" and options.output_range:
        _within(raw, options)
    low = "target_norm log" if options.target_norm == "log" else "loss msle"
    if raw.target == "regression" and (options.target_norm == "log" or options.loss == "msle"):
        wrong = raw.labels <= -1
        if wrong.any():
            row = first(wrong)
            raise DataError(
                f"{options.data}: the target of row {row} is {raw.labels[row - 1]:g}, "
                f"but {low} needs all above -1"
            )


def _divisible(raw: Raw, options: Options) -> None:
    """Every class can lie in more than one part."""
    where, names = options.data, raw.names
    rows = np.bincount(raw.labels, minlength=len(names))
    if len(rows) < 2:
        raise DataError(f"{where}: all rows are of class {names[0]!r}, but at least two classes are needed")
    if not rows.all():
        raise DataError(
            f"{where}: class {names[int(rows.argmin())]!r} has no rows, but at least 2 are needed"
        )
    alone = rows == 1
    if options.stratify and alone.any():
        code = int(alone.argmax())
        raise DataError(
            f"{where}: class {names[code]!r} has one row (row {first(raw.labels == code)}), but needs 2 "
            "to be in training and validation: add rows, leave it out, or set stratify: false"
        )


def _no_zero(raw: Raw, options: Options) -> None:
    """An error can be a share of every target."""
    zero = raw.labels == 0
    if zero.any():
        raise DataError(
            f"{options.data}: the target of row {first(zero)} is 0, as {int(zero.sum())} of {len(zero)} are, "
            "but loss mape divides by it: set loss mae or huber"
        )


def _apart(raw: Raw, options: Options) -> None:
    """Metrics can tell targets apart by the squares of what is between them."""
    low, high = raw.labels.min(), raw.labels.max()
    if high - low < 1 / LARGEST:
        raise DataError(
            f"{options.data}: the targets go from {low:g} to {high:g}, "
            f"but must differ by {1 / LARGEST:g} at least: multiply them"
        )


def _within(raw: Raw, options: Options) -> None:
    """Every target can be predicted."""
    low, high = options.output_range
    outside = (raw.labels < low) | (raw.labels > high)
    if outside.any():
        row = first(outside)
        raise DataError(
            f"{options.data}: the target of row {row} is {raw.labels[row - 1]:g}, "
            f"but output_range needs all from {low:g} to {high:g}"
        )


def varied(numbers: NDArray[Any], raw: Raw, where: str, row: str) -> None:
    """Raise DataError where some rows' targets (n,), all those of a kind, are one number."""
    if not np.ptp(numbers):
        column = f", column {raw.about['label']}" if raw.about.get("label") else ""
        raise DataError(
            f"{where}{column}: every {row} is {numbers[0]:g}, but a regression needs numbers that differ"
        )


def trainable(classes: Codes, raw: Raw, where: str) -> None:
    """Raise DataError where none of a class's rows is left to train, all of them being in other parts."""
    rows = np.bincount(classes, minlength=len(raw.names))
    if not rows.all():
        name, all_rows = raw.names[int(rows.argmin())], int((raw.labels == rows.argmin()).sum())
        raise DataError(
            f"{where}: class {name!r} has {all_rows} rows, all of which are for validation or test: "
            "add rows, leave it out, or set stratify: false"
        )


def absent(raw: Raw, parts: Mapping[str, NDArray[np.int64]], where: str) -> Iterator[str]:
    """A sentence for each part, by its name, in which a class has no row, though it has some elsewhere."""
    for part, rows in parts.items():
        held = np.bincount(raw.labels[rows], minlength=len(raw.names))
        if len(rows) and not held.all():
            name, others = raw.names[int(held.argmin())], int((held == 0).sum()) - 1
            more = f", nor have {others} other classes" if others else ""
            yield f"{where}: class {name!r} has no row in {part}{more}"


def text(cells: NDArray[Any]) -> list[str]:
    """Numbers as a person writes them: 3 for 3.0."""
    return [str(int(cell)) if cell.is_integer() else repr(cell) for cell in cells.astype(float).tolist()]


def first(rows: NDArray[np.bool_]) -> int:
    """The number of the first row that is marked, counted from 1."""
    return int(rows.argmax()) + 1


def empty(cells: NDArray[Any]) -> NDArray[np.bool_]:
    """Which cells of numbers or text hold nothing, (n,)."""
    return np.array([cell is None for cell in cells]) if cells.dtype == object else np.isnan(cells)


def infinite(cells: NDArray[Any]) -> NDArray[np.bool_]:
    """Which cells of numbers or text hold an infinite number, (n,)."""
    return np.zeros(len(cells), bool) if cells.dtype == object else np.isinf(cells)


def kind(cell: str) -> str:
    """Which of KINDS a cell is, "" where it is text."""
    for name, read in KINDS.items():
        try:
            read(cell)
        except ValueError:
            continue
        return name
    return ""
