"""Tables in files: CSV and Parquet as columns of numbers or of text."""

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.data import label, stray
from hypersweep_trainer.data.digest import digest
from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.options import Options

Columns = Mapping[str, NDArray[Any]]
BLOCK = 1 << 20, 2**31 - 1  # bytes of a CSV file that are read at once, at least and at most
SEPARATORS = {";", "\t", "|"}
SHOWN = 20  # names of columns that a sentence holds
DAY = 8.64e10  # microseconds


def read(path: Path, kind: str, options: Options) -> Raw:
    """A table with its target, see `columns`; raises DataError."""
    where, found = options.data, names(path, kind)
    for name in (*options.features, *options.categorical, *filter(None, [options.label])):
        _known(name, found, where)
    target = "" if options.target == "reconstruction" else options.label or found[-1]
    features = options.features or tuple(name for name in found if name != target)
    if target in features:
        raise DataError(f"{where}: features must not hold the label, but both name {target}")
    if not features:
        raise DataError(f"{where}: must hold a column beside the label {target}")
    if strange := set(options.categorical) - {*features, target}:
        raise DataError(f"{where}: categorical must be among features, but {min(strange)} is not")
    classes = options.target == "classification"
    table = columns(path, kind, {*options.categorical, *([target] if classes else [])}, {*features, target})
    if classes:
        _present(table[target], target, path, kind, where)
    inputs = {name: table[name] for name in features}
    notes = tuple(_strange(inputs, options))
    labels, codes = _target(table, target, options)
    total = digest(list(inputs), *inputs.values(), labels, codes)
    return Raw("tabular", options.target, labels, total, codes, inputs, about={"label": target}, notes=notes)


def _target(table: Columns, name: str, options: Options) -> tuple[NDArray[Any], tuple[str, ...]]:
    where = f"{options.data}, column {name}" if name else f"{options.data}, the last column, without a name"
    if options.target == "reconstruction":
        return np.zeros(len(next(iter(table.values()))), np.int64), ()
    if options.target == "classification":
        return label.classes(table[name], where)
    return label.numbers(table[name], where), ()


def _present(cells: NDArray[Any], name: str, path: Path, kind: str, where: str) -> None:
    """Raise DataError for a word in the column of classes that counts as an empty cell."""
    gaps = label.empty(cells)
    if kind != "csv" or not gaps.any():
        return
    row = label.first(gaps)
    word = _csv(path, {name}, words=True)[name][row - 1].as_py().decode()
    if word:
        raise DataError(
            f"{where}, column {name}: row {row} is {word!r}, which counts as an empty cell, "
            "but each row needs a class: write another word"
        )


def _strange(features: Columns, options: Options) -> Iterator[str]:
    """What is strange in columns of text; raises DataError where a few cells alone make text of one."""
    for name, cells in features.items():
        if cells.dtype != object or name in options.categorical:
            continue
        found, where = stray.found(cells), f"{options.data}, column {name}"
        if found is None:
            continue
        if found.sure:
            raise DataError(
                f"{where}: {found}: leave {found.such} empty, or name the column in `categorical`"
            )
        yield f"{where}: {found}: all its cells are taken for categories"


def names(path: Path, kind: str) -> list[str]:
    """The names of a CSV or Parquet file's columns in their order; raises DataError."""
    with _told(path, kind):
        found = _header(path) if kind == "csv" else _fields(path)
    if kind == "csv" and len(found) == 1 and not SEPARATORS.isdisjoint(found[0]):
        raise DataError(f"{path}: commas must separate columns, but its header is {found[0]!r}")
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise DataError(f"{path}: column names must differ, but {twice} stands there twice")
    return found


def _header(path: Path) -> list[str]:
    """The first line of a CSV file."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        found = next(filter(None, csv.reader(file)), [])
    if not found:
        raise DataError(f"{path}: cannot be read as csv: Empty CSV file")
    line = ",".join(found)
    if "\0" in line:
        raise DataError(
            f"{path}: cannot be read as csv: must be UTF-8, but its header has zero bytes, as UTF-16 has"
        )
    try:
        line.encode()
    except UnicodeEncodeError:
        words = line.encode(errors="surrogateescape")
        raise DataError(f"{path}: its header must be UTF-8, but is {words!r}") from None
    return found


def _fields(path: Path) -> list[str]:
    from pyarrow import parquet

    schema = parquet.ParquetDataset(path).schema if path.is_dir() else parquet.read_schema(path)
    return list(schema.names)


@contextmanager
def _told(path: Path, kind: str) -> Iterator[None]:
    """What arrow says of a file, in one sentence; it counts the header as the first row."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, csv.Error) as error:
        words = re.sub(r"Row #(\d+)", lambda row: f"row {int(row[1]) - 1}", str(error))
        raise DataError(f"{path}: cannot be read as {kind}: {words}") from error


def columns(
    path: Path, kind: str, text: Collection[str] = (), only: Collection[str] | None = None
) -> dict[str, NDArray[Any]]:
    """The columns of a CSV or Parquet file by name; an empty cell is NaN in numbers and None in text.

    Numbers and truth values are float64, dates and times days since 1970, all else text; so are columns named
    `text`, whatever they hold. Columns outside of `only` do not matter. Raises DataError.
    """
    found = names(path, kind)
    with _told(path, kind):
        table = _csv(path, text) if kind == "csv" else _parquet(path)
    if not len(table):
        raise DataError(f"{path}: must hold rows, but has none")
    wanted = [name for name in found if only is None or name in only]
    return {name: _cells(table[name], name in text, f"{path}, column {name}") for name in wanted}


def _csv(path: Path, text: Collection[str], words: bool = False, threads: bool = True) -> Any:
    """A table of arrow, whose columns of `text` are bytes, with `words` even where they count as empty."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    whole = min(
        max(path.stat().st_size + 1, BLOCK[0]), BLOCK[1]
    )  # so that a column's type suits all its cells
    types = {name: pa.binary() for name in text}  # a string would not tell in which row it is no UTF-8
    try:
        return arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(block_size=whole, use_threads=threads),
            convert_options=arrow.ConvertOptions(column_types=types, strings_can_be_null=not words),
        )
    except pa.ArrowInvalid:
        if not threads:
            raise
        return _csv(path, text, words, threads=False)  # which tells the row


def _parquet(path: Path) -> Any:
    from pyarrow import parquet

    if path.is_dir():
        return parquet.read_table(path)
    with parquet.ParquetFile(path) as file:  # reads columns of one name, too, of which is told before
        return file.read()


def _cells(column: Any, text: bool, where: str) -> NDArray[Any]:
    """An arrow column as an array of numbers or text."""
    import pyarrow as pa

    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _objects([cell or None for cell in column.to_pylist()])
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return _objects(_decoded(column.to_pylist(), where))
    return _objects(_words(column, where)) if text else _numbers(column, kind, where)


def _words(column: Any, where: str) -> list[str | None]:
    """Cells that are no text as a person writes them."""
    import pyarrow as pa

    types, kind = pa.types, column.type
    if types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us"), safe=False)
    if types.is_timestamp(kind) or types.is_date(kind) or types.is_integer(kind) or types.is_boolean(kind):
        return [None if cell is None else str(cell) for cell in column.to_pylist()]
    cells = _numbers(column, kind, where)
    words = label.text(np.where(np.isnan(cells), 0, cells))
    return [None if gap else word for word, gap in zip(words, np.isnan(cells), strict=True)]


def _numbers(column: Any, kind: Any, where: str) -> NDArray[np.float64]:
    import pyarrow as pa

    types, scale = pa.types, 1.0
    if types.is_timestamp(kind) or types.is_date(kind):
        column, scale = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()), DAY
    elif types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (
        types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind)
    ):
        raise DataError(f"{where}: must hold numbers, text, dates or truth values, but holds {kind}")
    cells = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.array(cells, np.float64) / scale


def _decoded(cells: list[bytes | None], where: str) -> list[str | None]:
    """Cells as text; raises DataError for the first that is none."""
    found: list[str | None] = []
    for row, cell in enumerate(cells, 1):
        try:
            found.append((cell or b"").decode() or None)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where}: row {row} is {cell!r}, but text must be UTF-8: {error.reason}"
            ) from None
    return found


def _objects(cells: list[str | None]) -> NDArray[Any]:
    return np.array(cells, dtype=object)


def _known(name: str, found: Sequence[str], where: str) -> None:
    if name not in found:
        near = get_close_matches(name, found, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        some = [*found[:SHOWN], *(["…"] if len(found) > SHOWN else [])]
        raise DataError(f"{where}: there is no column {name} among {', '.join(some)}{hint}")
