"""The order of rows and their batches: functions of seed and epoch alone."""

from dataclasses import replace

import torch

from hypersweep_trainer.options import Options
from hypersweep_trainer.order import order, partition

PLAIN = Options()


def test_an_epoch_uses_every_row_once_whatever_the_remainder() -> None:
    assert [range(4), range(4, 8), range(8, 9)] == partition(9, 4, least=1)
    assert [range(4), range(4, 9)] == partition(9, 4, least=2)
    assert [range(1)] == partition(1, 4, least=2)


def test_one_row_and_all_rows_are_batches_too() -> None:
    assert 9 == len(partition(9, 1, least=1))
    assert [range(9)] == partition(9, 9, least=1) == partition(9, 100, least=1)


def test_every_row_is_used_once_in_each_epoch_in_another_order() -> None:
    first, second = (order(PLAIN, 50, None, 3, epoch) for epoch in (1, 2))

    assert not torch.equal(first, second)
    assert torch.equal(torch.arange(50), first.sort().values)
    assert torch.equal(torch.arange(50), second.sort().values)
    assert torch.equal(first, order(PLAIN, 50, None, 3, 1))
    assert not torch.equal(order(PLAIN, 50, None, 0, 1), order(PLAIN, 50, None, 1, 0))


def test_without_shuffling_rows_keep_their_order() -> None:
    assert torch.equal(torch.arange(7), order(replace(PLAIN, shuffle=False), 7, None, 0, 1))


def test_repeated_augmentation_shows_fewer_rows_several_times_in_turn() -> None:
    rows = order(replace(PLAIN, repeated_augmentation=3), 20, None, 0, 1)

    assert 20 == len(rows)
    assert 7 == len(rows.unique())
    assert torch.equal(rows[0:3], rows[0].expand(3))


def test_balanced_sampling_shows_each_class_equally_often() -> None:
    strata = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    rows = order(replace(PLAIN, sampling="balanced"), 1000, strata, 0, 1)
    shares = torch.bincount(strata[rows]) / 1000

    assert torch.allclose(torch.full((3,), 1 / 3), shares, atol=0.05)
