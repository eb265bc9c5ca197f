"""A table of predictions, written as CSV or Parquet, part by part."""

import csv
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]  # numbers or text, all of one length
Write = Callable[[Columns], None]  # the next rows of a table, whose columns are those of the first ones
ENDINGS = (".csv", ".parquet")
GROUP = 1 << 16  # rows of a Parquet file that are compressed together


def check(place: str | None) -> None:
    """Raise ValueError unless a table can be written there; nothing is written yet."""
    if place is None:
        return
    path = Path(place)
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{place}: must end in {' or '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise ValueError(f"{place}: must lie in a folder, but {path.parent} is none")


@contextmanager
def opened(place: str | None) -> Iterator[Write]:
    """A table that is written to a file by its ending, or as CSV to stdout.

    Numbers in CSV have 9 digits, which float32 needs. A file is there once it is whole.
    """
    if place is None:
        yield _csv(sys.stdout)
        return
    path = Path(place).resolve()  # a link stays one
    part = path.with_name(f".{path.name}.part")
    try:
        with _csv_file(part) if Path(place).suffix.lower() == ".csv" else _parquet_file(part) as write:
            yield write
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _csv_file(path: Path) -> Iterator[Write]:
    with open(path, "w", newline="", encoding="utf-8") as file:
        yield _csv(file)


def _csv(file: TextIO) -> Write:
    lines, begun = csv.writer(file, lineterminator="\n"), False

    def write(columns: Columns) -> None:
        nonlocal begun
        if not begun:
            lines.writerow(columns)
        begun = True
        lines.writerows(zip(*map(_texts, columns.values()), strict=True))

    return write


def _texts(cells: NDArray[Any]) -> list[str]:
    shown = "{:.9g}".format if cells.dtype.kind == "f" else str
    return [shown(cell) for cell in cells.tolist()]


@contextmanager
def _parquet_file(path: Path) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow import parquet

    waiting: list[Any] = []
    with ExitStack() as stack:
        file: Any = None

        def flush() -> None:
            nonlocal file
            table = pa.concat_tables(waiting)
            if file is None:
                file = stack.enter_context(parquet.ParquetWriter(path, table.schema))
            file.write_table(table)
            waiting.clear()

        def write(columns: Columns) -> None:
            waiting.append(pa.table({name: cells.tolist() for name, cells in columns.items()}))
            if sum(map(len, waiting)) >= GROUP:
                flush()

        yield write
        if waiting:
            flush()
