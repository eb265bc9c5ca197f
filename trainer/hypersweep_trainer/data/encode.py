"""Tables as the network takes them: numbers first, then the codes of categories."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from hypersweep_trainer.data import column, label, mean
from hypersweep_trainer.data.column import Column, Linear
from hypersweep_trainer.data.raw import DataError, Raw, Rows
from hypersweep_trainer.data.room import Room
from hypersweep_trainer.data.split import Split
from hypersweep_trainer.data.stream import Held, laid, pair, size
from hypersweep_trainer.options import Options

Columns = Mapping[str, NDArray[Any]]
Fill = Callable[[NDArray[np.float64]], Any]
# A cell that writes a number; 007 is a name.
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
HELD = float(np.finfo(np.float32).max)
SHOWN = 5  # categories that a sentence names
FILLS: Mapping[str, Fill] = {"median": np.median, "mean": np.mean}  # by `missing`; the other one refuses


@dataclass(frozen=True)
class Number:
    """A column of numbers."""

    name: str
    fill: float | None  # stands for an empty cell; None refuses it
    encoder: Column

    @classmethod
    def fit(cls, name: str, cells: NDArray[np.float64], options: Options) -> Self:
        """To the cells of training rows, NaN where they are empty."""
        known = cells[~np.isnan(cells)]
        if not len(known):  # few training rows can be empty where others are not
            return cls(name, 0.0, Linear(0.0, 0.0))
        if options.missing not in FILLS:
            return cls(name, None, column.fit(known, known, options))
        fill = float(FILLS[options.missing](known))
        return cls(name, fill, column.fit(np.where(np.isnan(cells), fill, cells), known, options))

    def rows(self, columns: Columns) -> NDArray[np.float64]:
        """Encoded cells (n,); raises DataError."""
        where = f"column {self.name}"
        cells = _parsed(_cells(columns, self.name), where)
        filled = cells if self.fill is None else np.where(np.isnan(cells), self.fill, cells)
        label.whole(filled, where, "a finite number")
        with np.errstate(over="ignore"):
            encoded = self.encoder.apply(filled)
        far = np.abs(encoded) > HELD
        if far.any():
            place = far.argmax()
            raise DataError(
                f"{where}: {filled[place]:g} becomes {encoded[place]:g}, but must stay within ±{HELD:g}"
            )
        return encoded


@dataclass(frozen=True)
class Category:
    """A column of categories: their codes count from 1, an unseen one is 0."""

    name: str
    values: tuple[str, ...]  # by code - 1, of the training rows; "" is the empty cell
    means: tuple[tuple[float, ...], ...] = ()  # by code, where mean targets stand for the category

    @classmethod
    def fit(cls, name: str, cells: NDArray[Any]) -> Self:
        """To the cells of training rows, None where they are empty."""
        return cls(name, tuple(sorted(set(_texts(cells)))))

    @property
    def codes(self) -> int:
        return len(self.values) + 1

    def rows(self, columns: Columns) -> NDArray[np.int64]:
        """Codes (n,); a number may be written otherwise than in training, 1.0 for 1. Raises DataError."""
        cells = _texts(_cells(columns, self.name))
        exact = {value: code for code, value in enumerate(self.values, 1)}
        # The first one wins: of 1 and 1.0, which training keeps apart, 1.00 is 1.
        equal = {_number(value): code for value, code in reversed(exact.items())}
        known = {cell: exact.get(cell) or equal.get(_number(cell), 0) for cell in set(cells)}
        return np.array([known[cell] for cell in cells], np.int64)


@dataclass(frozen=True)
class Encoder:
    """Everything that turns the columns of a table into rows of numbers and codes."""

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    kind: str  # codes | onehot | target: what becomes of the categories

    def rows(self, columns: Columns) -> NDArray[np.float32]:
        """Rows (n, columns) as the network takes them, of columns by name; further columns do not matter.

        Numbers come as float64 with NaN for an empty cell, text with None. Raises DataError.
        """
        return self._joined(columns, [self._encoded(one, one.rows(columns)) for one in self.categories])

    def crossed(self, columns: Columns, y: NDArray[Any], options: Options) -> NDArray[np.float32]:
        """Training rows: as `rows` gives them, but no row's own target tells of its category."""
        if self.kind != "target":
            return self.rows(columns)
        blocks = [mean.crossed(one.rows(columns), one.codes, y, options) for one in self.categories]
        return self._joined(columns, blocks)

    def notes(self, columns: Columns) -> Iterator[str]:
        """A sentence for each column of categories in which no row holds one of training."""
        for one in self.categories:
            if not one.rows(columns).any():
                cell, known = _texts(columns[one.name])[0], [*map(repr, one.values[:SHOWN])]
                more = ["…"] if len(one.values) > SHOWN else []
                yield (
                    f"column {one.name}: row 1 is {cell!r}, and neither it nor any other "
                    f"is a category of training: {', '.join(known + more)}"
                )

    def _encoded(self, one: Category, codes: NDArray[np.int64]) -> NDArray[Any]:
        match self.kind:
            case "target":
                return np.array(one.means)[codes]
            case "onehot":
                hot: NDArray[np.bool_] = codes[:, None] == np.arange(1, one.codes)
                return hot
        return codes[:, None]

    def _joined(self, columns: Columns, blocks: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        numbers = [one.rows(columns)[:, None] for one in self.numbers]
        return np.concatenate([block.astype(np.float32) for block in (*numbers, *blocks)], 1)

    def plain(self) -> dict[str, Any]:
        """JSON types, of which `load` makes the encoder again."""
        numbers = [{"name": one.name, "fill": one.fill, **column.plain(one.encoder)} for one in self.numbers]
        categories = [
            {"name": one.name, "values": list(one.values), "means": [list(row) for row in one.means]}
            for one in self.categories
        ]
        return {"table": {"numbers": numbers, "categories": categories, "kind": self.kind}}

    @classmethod
    def load(cls, encoding: Mapping[str, Any]) -> Self:
        """The encoder of a table's `Data.encoding`."""
        table = encoding["table"]
        numbers = (Number(one["name"], one["fill"], column.load(one)) for one in table["numbers"])
        categories = (
            Category(one["name"], tuple(one["values"]), tuple(map(tuple, one["means"])))
            for one in table["categories"]
        )
        return cls(tuple(numbers), tuple(categories), table["kind"])


def fit(columns: Columns, y: NDArray[Any], options: Options) -> Encoder:
    """The encoder of training rows, whose targets are y (n,): classes or scaled numbers."""
    numbers, categories = [], []
    for name, cells in columns.items():
        if cells.dtype == object:
            categories.append(Category.fit(name, cells))
        else:
            numbers.append(Number.fit(name, cells, options))
    kind = "codes"
    if options.target == "reconstruction":  # a code cannot be rebuilt as a number
        kind = "onehot"
    elif options.cat_encoder == "target":
        kind = "target"
        categories = [
            Category(one.name, one.values, mean.fitted(one.rows(columns), one.codes, y, options))
            for one in categories
        ]
    return Encoder(tuple(numbers), tuple(categories), kind)


@dataclass(frozen=True)
class TableParts:
    """The rows of each part, and what a network needs to know of their columns."""

    train: Rows
    val: Rows
    test: Rows | None
    shape: tuple[int, ...]  # of a row
    numbers: int
    categories: tuple[int, ...]
    encoding: Mapping[str, Any]


def parts(raw: Raw, split: Split, options: Options, device: torch.device, final: bool) -> TableParts:
    """A table encoded and laid on the device, its targets being `raw.labels` as they are.

    Raises DataError.
    """
    columns = raw.columns
    assert columns is not None
    check(columns, options)
    train = {name: cells[split.train] for name, cells in columns.items()}
    encoder = fit(train, raw.labels[split.train], options)
    room = Room(options.resident, device)

    def part(rows: NDArray[np.int64]) -> Rows:
        x = encoder.rows({name: cells[rows] for name, cells in columns.items()})
        return _laid(x, raw.labels[rows], options, room, device)

    val = part(split.val)
    test = part(split.test) if final and len(split.test) else None
    seen = encoder.crossed(train, raw.labels[split.train], options)
    codes = tuple(one.codes for one in encoder.categories) if encoder.kind == "codes" else ()
    return TableParts(
        _laid(seen, raw.labels[split.train], options, room, device),
        val,
        test,
        seen.shape[1:],
        seen.shape[1] - len(codes),
        codes,
        encoder.plain(),
    )


def check(columns: Columns, options: Options) -> None:
    """Raise DataError for a column that is empty, somewhere too large, or has gaps that `missing` refuses."""
    for name, cells in columns.items():
        where, gaps, infinite = f"{options.data}, column {name}", label.empty(cells), label.infinite(cells)
        if gaps.all():
            raise DataError(f"{where}: all its cells are empty; leave it out of `features`")
        if infinite.any():
            raise DataError(f"{where}: row {label.first(infinite)} is infinite, but numbers must be finite")
        if cells.dtype != object:
            label.moderate(cells, where)
        if options.missing == "refuse" and cells.dtype != object and gaps.any():
            raise DataError(
                f"{where}: row {label.first(gaps)} is empty, and missing is refuse: fill it or set missing"
            )


def _laid(
    x: NDArray[np.float32], y: NDArray[Any], options: Options, room: Room, device: torch.device
) -> Rows:
    """Rows with their targets, or themselves as targets, on the device where they fit."""
    kept = (x,) if options.target == "reconstruction" else (x, y)
    sources = [Held(torch.from_numpy(np.ascontiguousarray(one))) for one in kept]
    return laid(sources, pair(), sum(map(size, sources)), room, device)


def _cells(columns: Columns, name: str) -> NDArray[Any]:
    if name not in columns:
        raise DataError(f"column {name}: must be there, but is not among {', '.join(columns)}")
    return columns[name]


def _parsed(cells: NDArray[Any], where: str) -> NDArray[Any]:
    """Cells as numbers, NaN where they are empty; raises DataError for text that is none."""
    kinds = {label.kind(cell) for cell in cells if cell is not None} if cells.dtype == object else set()
    if len(kinds) == 1 and kinds != {"numbers"}:  # no other cell says what training had
        row = label.first(~label.empty(cells))
        *more, last = label.KINDS
        raise DataError(
            f"{where}: row {row} is {cells[row - 1]!r}, "
            f"but the model needs {', '.join(more)} or {last}, whichever training had"
        )
    return label.parsed(cells, where, "the model")


def _number(cell: str) -> Decimal | str:
    """What cells that write one number have in common; other ones have nothing."""
    return Decimal(cell) if NUMBER.fullmatch(cell) else cell


def _texts(cells: NDArray[Any]) -> list[str]:
    """Categories as text, "" where there is none; numbers as a person writes them."""
    if cells.dtype == object:
        return ["" if cell is None else cell for cell in cells]
    return [
        text if known else ""
        for text, known in zip(label.text(np.nan_to_num(cells)), ~np.isnan(cells), strict=True)
    ]
