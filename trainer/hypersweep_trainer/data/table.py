"""Tables in files: CSV and Parquet as columns of numbers or of text."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.data import label
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
    table, where = columns(path, kind, options.categorical), options.data
    for name in (*options.features, *options.categorical, *filter(None, [options.label])):
        _known(name, table, where)
    target = "" if options.target == "reconstruction" else options.label or list(table)[-1]
    names = options.features or tuple(name for name in table if name != target)
    if target in names:
        raise DataError(f"{where}: features must not hold the label, but both name {target}")
    if not names:
        raise DataError(f"{where}: must hold a column beside the label {target}")
    features = {name: table[name] for name in names}
    labels, classes = _target(table, target, options)
    total = digest(list(features), *features.values(), labels, classes)
    return Raw("tabular", options.target, labels, total, classes, features, about={"label": target})


def _target(table: Columns, name: str, options: Options) -> tuple[NDArray[Any], tuple[str, ...]]:
    where = f"{options.data}, column {name}"
    if not name:
        return np.zeros(len(next(iter(table.values()))), np.int64), ()
    if options.target == "classification":
        return label.classes(table[name], where)
    return label.numbers(table[name], where), ()


def columns(
    path: Path, kind: str, categorical: Collection[str] = (), only: Collection[str] | None = None
) -> dict[str, NDArray[Any]]:
    """The columns of a CSV or Parquet file by name; an empty cell is NaN in numbers and None in text.

    Numbers and truth values are float64, dates and times days since 1970, all else text; so are columns named
    `categorical`, whatever they hold. Columns outside of `only` do not matter. Raises DataError.
    """
    import pyarrow as pa

    try:
        found = _csv(path, categorical) if kind == "csv" else _parquet(path)
        names = found.column_names
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: its header must be UTF-8, but {error}") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as {kind}: {error}") from error
    if kind == "csv" and len(names) == 1 and not SEPARATORS.isdisjoint(names[0]):
        raise DataError(f"{path}: commas must separate columns, but its header is {names[0]!r}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: column names must differ, but {twice} stands there twice")
    if not len(found):
        raise DataError(f"{path}: must hold rows, but has none")
    wanted = [name for name in names if only is None or name in only]
    return {name: _cells(found[name], name in categorical, f"{path}, column {name}") for name in wanted}


def _csv(path: Path, categorical: Collection[str]) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    whole = min(
        max(path.stat().st_size + 1, BLOCK[0]), BLOCK[1]
    )  # so that a column's type suits all its cells
    text = {name: pa.string() for name in categorical}
    return csv.read_csv(
        path,
        read_options=csv.ReadOptions(block_size=whole),
        convert_options=csv.ConvertOptions(column_types=text, strings_can_be_null=True),
    )


def _parquet(path: Path) -> Any:
    from pyarrow import parquet

    if path.is_dir():
        return parquet.read_table(path)
    with parquet.ParquetFile(path) as file:  # reads columns of one name, too, of which is told later
        return file.read()


def _cells(column: Any, categorical: bool, where: str) -> NDArray[Any]:
    """An arrow column as an array of numbers or text."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _objects([cell or None for cell in column.to_pylist()])
    if pa.types.is_binary(kind):
        _decoded(column.to_pylist(), where)
    if categorical and pa.types.is_integer(kind):  # may exceed what a float64 tells apart
        return _objects([None if cell is None else str(cell) for cell in column.to_pylist()])
    cells = _numbers(column, kind, where)
    if not categorical:
        return cells
    return _objects(
        [None if np.isnan(cell) else label.text(cells[row : row + 1])[0] for row, cell in enumerate(cells)]
    )


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


def _decoded(cells: list[bytes | None], where: str) -> None:
    """Raise DataError for the first cell that is no text, which is why all of them came as bytes."""
    for row, cell in enumerate(cells, 1):
        try:
            (cell or b"").decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where}: row {row} is {cell!r}, but text must be UTF-8: {error.reason}"
            ) from None


def _objects(cells: list[str | None]) -> NDArray[Any]:
    return np.array(cells, dtype=object)


def _known(name: str, table: Columns, where: str) -> None:
    if name not in table:
        near = get_close_matches(name, table, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        names = [*list(table)[:SHOWN], *(["…"] if len(table) > SHOWN else [])]
        raise DataError(f"{where}: there is no column {name} among {', '.join(names)}{hint}")
