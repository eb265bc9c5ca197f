"""Rows that are read one by one: ahead as far as there is room, each once, again after a failure."""

import threading

import pytest
import torch
from torch import Tensor

from hypersweep_trainer.data.reader import Reader


class Numbers:
    """Images that know their number, and which of them were read."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.enough = threading.Event()
        self.wanted = 0

    def __call__(self, row: int) -> Tensor:
        self.read.append(row)
        if len(self.read) >= self.wanted:
            self.enough.set()
        return torch.full((1, 2, 2), row, dtype=torch.uint8)


def test_a_hint_reads_ahead_as_far_as_there_is_room() -> None:
    reader = Numbers()
    reader.wanted = 64
    images = Reader(reader, (200, 1, 2, 2), torch.uint8, 2)
    images.hint(torch.arange(200).flip(0))

    assert reader.enough.wait(20)
    images.select(torch.tensor([199, 198]))
    assert set(range(199, 133, -1)) >= set(reader.read) >= set(range(199, 135, -1))


def test_an_epoch_reads_each_image_once_also_where_batches_ask_for_it_twice() -> None:
    reader, order = Numbers(), torch.randperm(200, generator=torch.Generator().manual_seed(0))
    images = Reader(reader, (200, 1, 2, 2), torch.uint8, 3)
    images.hint(order)

    for batch in order.split(40):
        for rows in (batch, batch.flip(0), batch[:7].repeat(2)):
            assert torch.equal(rows, images.select(rows)[:, 0, 0, 0].long())
    assert list(range(200)) == sorted(reader.read)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_could_not_be_read_once_is_read_again(workers: int) -> None:
    failures = [OSError("the disk is away")]

    def read(row: int) -> Tensor:
        if row == 3 and failures:
            raise failures.pop()
        return torch.full((1, 2, 2), row, dtype=torch.uint8)

    images = Reader(read, (200, 1, 2, 2), torch.uint8, workers)
    images.hint(torch.arange(200))
    batch = torch.arange(5)

    with pytest.raises(OSError, match="the disk is away"):
        images.select(batch)
    assert torch.equal(batch, images.select(batch)[:, 0, 0, 0])
    assert torch.equal(batch + 5, images.select(batch + 5)[:, 0, 0, 0])


def test_a_new_hint_replaces_the_old_one() -> None:
    images = Reader(Numbers(), (200, 1, 2, 2), torch.uint8, 2)
    images.hint(torch.arange(200))
    images.hint(torch.arange(100, 200))

    assert [100, 0, 199] == images.select(torch.tensor([100, 0, 199]))[:, 0, 0, 0].tolist()
