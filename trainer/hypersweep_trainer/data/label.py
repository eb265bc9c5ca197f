"""What is predicted: a column's cells as classes or as numbers, and whether training can use them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.options import Options

MANY, ROWS = 20, 10  # more classes that are numbers, with fractions or fewer rows each, are none
Codes = NDArray[np.int64]


def classes(cells: NDArray[Any], where: str) -> tuple[Codes, tuple[str, ...]]:
    """Class codes (n,) and the classes' names by code, numbers in their order; raises DataError."""
    whole(cells, where, "a class")
    number = cells.dtype != object
    found, codes = np.unique(cells if number else cells.astype(str), return_inverse=True)
    rare = len(found) > len(cells) / ROWS or (number and bool((found != np.round(found)).any()))
    if number and len(found) > MANY and rare:
        raise DataError(
            f"{where}: holds {len(found)} different numbers in {len(cells)} rows: too many classes; "
            "where the number itself is to be predicted, set target: regression"
        )
    return codes.astype(np.int64), tuple(text(found) if number else found.tolist())


def numbers(cells: NDArray[Any], where: str) -> NDArray[np.float64]:
    """Finite numbers (n,); raises DataError."""
    cells = parsed(cells, where, "a regression")
    whole(cells, where, "a finite number")
    return cells.astype(np.float64)


def parsed(cells: NDArray[Any], where: str, who: str) -> NDArray[Any]:
    """Cells as numbers, NaN where they are empty; raises DataError for text that is none."""
    if cells.dtype != object:
        return cells
    wrong = np.array([cell is not None and not _number(cell) for cell in cells])
    if wrong.any():
        row = first(wrong)
        raise DataError(f"{where}: row {row} is {cells[row - 1]!r}, but {who} needs numbers")
    return np.array([np.nan if cell is None else float(cell) for cell in cells])


def whole(cells: NDArray[Any], where: str, need: str) -> None:
    """Raise DataError where a cell is empty or infinite."""
    for found, word in ((empty(cells), "empty"), (infinite(cells), "infinite")):
        if found.any():
            raise DataError(f"{where}: row {first(found)} is {word}, but each row needs {need}")


def check(raw: Raw, options: Options) -> None:
    """Raise DataError for targets that the split or the loss cannot use."""
    if raw.target == "classification":
        _divisible(raw, options)
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


def text(cells: NDArray[Any]) -> list[str]:
    """Numbers as a person writes them: 3 for 3.0."""
    return [str(int(cell)) if cell == int(cell) else repr(float(cell)) for cell in cells]


def first(rows: NDArray[np.bool_]) -> int:
    """The number of the first row that is marked, counted from 1."""
    return int(rows.argmax()) + 1


def empty(cells: NDArray[Any]) -> NDArray[np.bool_]:
    """Which cells of numbers or text hold nothing, (n,)."""
    return np.array([cell is None for cell in cells]) if cells.dtype == object else np.isnan(cells)


def infinite(cells: NDArray[Any]) -> NDArray[np.bool_]:
    """Which cells of numbers or text hold an infinite number, (n,)."""
    return np.zeros(len(cells), bool) if cells.dtype == object else np.isinf(cells)


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
