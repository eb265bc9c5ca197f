"""A table of predictions, written as CSV or Parquet."""

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]  # numbers or text, all of one length
ENDINGS = (".csv", ".parquet")


def check(place: str | None) -> None:
    """Raise ValueError unless a table can be written there; nothing is written yet."""
    if place is None:
        return
    path = Path(place)
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{place}: must end in {' or '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise ValueError(f"{place}: must lie in a folder, but {path.parent} is none")


def write(columns: Columns, place: str | None) -> None:
    """To a file by its ending, or as CSV to stdout; numbers in CSV with 9 digits, which float32 needs."""
    if place is None:
        _csv(columns, sys.stdout)
    elif Path(place).suffix.lower() == ".csv":
        with open(place, "w", newline="", encoding="utf-8") as file:
            _csv(columns, file)
    else:
        _parquet(columns, place)


def _csv(columns: Columns, file: TextIO) -> None:
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows(zip(*map(_texts, columns.values()), strict=True))


def _texts(cells: NDArray[Any]) -> list[str]:
    shown = "{:.9g}".format if cells.dtype.kind == "f" else str
    return [shown(cell) for cell in cells.tolist()]


def _parquet(columns: Columns, place: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({name: cells.tolist() for name, cells in columns.items()}), place)
