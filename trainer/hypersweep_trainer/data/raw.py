"""Data as it was read, before it is split and encoded; and rows of one part as training reads them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from hypersweep_trainer.data.demand import OnDemand

Tokens = NDArray[np.integer[Any]]


class DataError(Exception):
    """The data cannot be used: one sentence that says where, what was found and what must hold."""

    def __init__(self, words: str) -> None:
        super().__init__(" ".join(words.splitlines()))  # others' words may go over several


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
    # (n, channels, height, width) uint8, or float32 from 0 to 1
    pixels: "NDArray[Any] | OnDemand | None" = None
    files: Sequence[Path] | None = None  # of one image each
    tokens: Tokens | None = None  # rows (n, context), or a stream (n,) of which rows are windows
    vocabulary: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)  # what prediction needs of the source, plain types
    notes: tuple[str, ...] = ()  # what is strange, in sentences


def smallest(vocabulary: int) -> type[np.integer[Any]]:
    """The smallest type that holds so many tokens and that torch computes with."""
    if vocabulary <= 1 << 8:
        return np.uint8
    return np.int16 if vocabulary <= 1 << 15 else np.int32


def facts(raw: Raw, known: bool) -> Mapping[str, Any]:
    """What the data told of itself, as `options.facts.of_data`; known data is as long as one asks it for."""
    columns = () if raw.columns is None else raw.columns.values()
    categories = raw.target != "reconstruction" and any(cells.dtype == object for cells in columns)
    numbers = raw.columns is None or any(cells.dtype != object for cells in columns)
    rows = raw.tokens is not None and raw.tokens.ndim == 2 and not known
    gaps = any(cells.dtype != object and bool(np.isnan(cells).any()) for cells in columns)
    return {
        "task": raw.task,
        "target": raw.target,
        "categories": "some" if categories else "none",
        "numbers": "some" if numbers else "none",
        "gaps": "some" if gaps else "none",
        "length": "own" if rows else "free",
        "classes": len(raw.names),
    }


class Rows(Protocol):
    """One part of the data, read by row numbers."""

    @property
    def device(self) -> torch.device:
        """Where row numbers lie that nobody has to wait for: the device, or the host where rows stream."""

    def __len__(self) -> int:
        """Rows."""

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some rows, on the device: see `Form` and `Batch`."""

    def hint(self, batches: Iterable[Tensor]) -> None:
        """Which rows each `take` from now on will ask for; nothing but speed depends on it."""


@dataclass(frozen=True)
class Resident:
    """Rows that lie on the device as a whole."""

    x: Tensor
    y: Tensor

    @property
    def device(self) -> torch.device:
        return self.x.device

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.x.index_select(0, rows), self.y.index_select(0, rows)

    def hint(self, batches: Iterable[Tensor]) -> None:
        pass


@dataclass(frozen=True)
class Picked:
    """Some rows of a part, under numbers of their own."""

    rows: Rows
    numbers: Tensor  # (n,) of the rows that were picked, where they want them

    @property
    def device(self) -> torch.device:
        return self.rows.device

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.rows.take(self.numbers.index_select(0, rows.to(self.device)))

    def hint(self, batches: Iterable[Tensor]) -> None:
        self.rows.hint(self.numbers.index_select(0, rows.to(self.device)) for rows in batches)
