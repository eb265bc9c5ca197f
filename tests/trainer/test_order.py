"""The order of rows and their batches: functions of seed and epoch alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hypersweep_trainer.config import Config, ConfigError
from hypersweep_trainer.model.sync import Synchronised
from hypersweep_trainer.options import Options
from hypersweep_trainer.order import batches, least, order, partition
from tests.trainer.runs import an_environment, train

PLAIN = Options()


def test_an_epoch_uses_every_row_once_whatever_the_remainder() -> None:
    assert [range(4), range(4, 8), range(8, 9)] == partition(9, 4, least=1)
    assert [range(4), range(4, 9)] == partition(9, 4, least=2)
    assert [range(4), range(4, 9), range(9, 14)] == partition(14, 4, least=3)
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
    assert 10 == len(rows[strata[rows] == 2].unique())
    assert 0 <= int(rows.min()) <= int(rows.max()) < 1000


def test_balanced_sampling_passes_over_classes_without_rows_and_knows_no_largest_number_of_rows() -> None:
    count = (1 << 24) + 2  # more than torch.multinomial takes
    strata = torch.zeros(count, dtype=torch.int64)
    strata[5] = 3
    rows = order(replace(PLAIN, sampling="balanced"), count, strata, 0, 1)

    assert count == len(rows)
    assert pytest.approx(0.5, abs=0.01) == float((rows == 5).double().mean())
    assert int(rows.max()) > 1 << 23


# -- batch norm learns nothing of a single row, and torch refuses it


def test_the_smallest_step_has_what_its_norms_want() -> None:
    assert 1 == least(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), world=3)
    assert 6 == least(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), world=3)
    assert 2 == least(nn.Sequential(Synchronised(nn.BatchNorm1d(2))), world=3)


@pytest.mark.parametrize(("size", "count"), [(1, 50), (50, 1), (3, 50)])
def test_steps_too_small_for_batch_norm_are_refused(size: int, count: int) -> None:
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps({"batch_size": size})})

    with pytest.raises(ConfigError, match="batch_size: batch norm needs 4 rows in each step"):
        batches(config, count, nn.BatchNorm1d(2), world=2)
    assert batches(config, count, nn.LayerNorm(2), world=2)


@pytest.mark.parametrize("size", [16, 23, 32, 359])
def test_an_epoch_has_the_same_batches_on_any_number_of_ranks(size: int) -> None:
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps({"batch_size": size})})
    for norm in (nn.LayerNorm(2), nn.BatchNorm1d(2), Synchronised(nn.BatchNorm1d(2))):
        for count in range(1079, 1079 + size):
            found = [batches(config, count, norm, world) for world in (1, 2, 3, 8)]
            smallest = min(map(len, found[0]))

            assert all(found[0] == other for other in found)
            assert list(range(count)) == [row for batch in found[0] for row in batch]
            assert smallest >= {nn.LayerNorm: 1, nn.BatchNorm1d: 16, Synchronised: 16}[type(norm)]
            assert max(map(len, found[0])) <= 2 * size - 1


@pytest.mark.parametrize("size", [35, 17, 16])
def test_batch_norm_meets_no_single_row_whatever_remains_of_an_epoch(size: int, tmp_path: Path) -> None:
    given: dict[str, Any] = {"data": "synthetic_curve", "synthetic_rows": 60, "norm": "batch", "epochs": 1}

    assert 0 == train(
        {
            **an_environment(tmp_path),
            "HYPERSWEEP_TRAINER": json.dumps({**given, "batch_size": size, "grad_accum": 8}),
        }
    )


def test_automatic_steps_suffice_for_batch_norm(tmp_path: Path) -> None:
    given = {"data": "synthetic_curve", "synthetic_rows": 60, "norm": "batch", "epochs": 1}

    assert 0 == train(an_environment(tmp_path, {**given, "batch_size": "auto", "depth": 2}))
