"""Data as it was read, before it is split and encoded; and rows of one part as training reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor


class DataError(Exception):
    """The data cannot be used: one sentence that says where, what was found and what must hold."""


@dataclass(frozen=True)
class Raw:
    """A whole data set. Exactly one of `columns`, `pixels`, `files`, `tokens` holds its rows."""

    task: str
    target: str
    labels: NDArray[Any]  # (n,) class codes (int64) or numbers (float64); zeros where tokens are the target
    digest: str  # of all of it
    names: tuple[str, ...] = ()  # of the classes, by code
    columns: Mapping[str, NDArray[Any]] | None = (
        None  # a table: float64 (NaN: empty) or str objects (None: empty)
    )
    pixels: NDArray[Any] | None = None  # (n, channels, height, width) uint8, or float32 from 0 to 1
    files: Sequence[Path] | None = None  # of one image each
    tokens: NDArray[Any] | None = None  # (n, context) int64 rows, or a stream (n,) of which rows are windows
    vocabulary: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)  # what prediction needs of the source, plain types


class Rows(Protocol):
    """One part of the data, read by row numbers that lie on the device."""

    def __len__(self) -> int:
        """Rows."""

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some rows, on the device: see `Form` and `Batch`."""

    def hint(self, order: Tensor) -> None:
        """Which rows will be taken from now on, in which order; nothing but speed depends on it."""


@dataclass(frozen=True)
class Resident:
    """Rows that lie on the device as a whole."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.x.index_select(0, rows), self.y.index_select(0, rows)

    def hint(self, order: Tensor) -> None:
        pass


@dataclass(frozen=True)
class Picked:
    """Some rows of a part, under numbers of their own."""

    rows: Rows
    numbers: Tensor  # (n,) of the rows that were picked, on the device

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.rows.take(self.numbers.index_select(0, rows))

    def hint(self, order: Tensor) -> None:
        self.rows.hint(self.numbers[order.to(self.numbers.device)].cpu())
