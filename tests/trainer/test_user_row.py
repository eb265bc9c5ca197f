"""Rows of a Dataset of the user's own that cannot be read, each told with its number."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from torch.utils.data import Dataset, IterableDataset

from hypersweep_trainer.data import user
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.options import Options


def pair(row: int, bad: int) -> Any:
    if row == bad:
        raise RuntimeError("the disk is gone")
    return np.full(3, row / 2), row % 2


class Broken(Dataset[Any]):
    bad = 3

    def __len__(self) -> int:
        return 6

    def __getitem__(self, row: int) -> Any:
        return pair(row, self.bad)


class BrokenAtOnce(Broken):
    bad = 0


class BrokenStream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return (pair(row, 3) for row in range(6))


class Alone(Broken):
    """Its fourth row has no target."""

    def __getitem__(self, row: int) -> Any:
        return (np.ones(3),) if row == self.bad else (np.ones(3), 1)


class Ended(Broken):
    """Its fourth row ends as an iterator does."""

    def __getitem__(self, row: int) -> Any:
        return next(iter([])) if row == self.bad else (np.ones(3), 1)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Broken, "row 4: cannot be read: RuntimeError: the disk is gone$"),
        (BrokenAtOnce, "row 1: cannot be read: RuntimeError: the disk is gone$"),
        (BrokenStream, "row 4: cannot be read: RuntimeError: the disk is gone$"),
        (Alone, "row 4: cannot be read: ValueError: not enough values"),
        (Ended, "row 4: cannot be read: RuntimeError: generator raised StopIteration$"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_with_its_number(kind: type, words: str) -> None:
    spec = f"{__name__}:{kind.__name__}"

    with pytest.raises(DataError, match=f"^{spec}, {words}"):
        user.read(spec, Options(data=spec))
