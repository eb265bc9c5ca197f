"""Batches are augmented from a seed alone: the same again, and the same on any number of ranks."""

import json
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from hypersweep_trainer.augment import Augment, wanted
from hypersweep_trainer.batch import Batch
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import load
from hypersweep_trainer.options import Options
from tests.trainer.augmenting import CPU, a_form, augmented, images

IMAGE = {
    "random_resized_crop": 0.3, "flip": 0.5, "flip_vertical": 0.5, "crop_pad": 3, "rotate": 20.0, "zoom": 0.2,
    "jitter": 0.4, "erase": 0.5, "rand_augment_n": 2, "rand_augment_std": 0.5,
}  # fmt: skip
TABLE = {"noise": 0.3, "swap_noise": 0.3}
SEQUENCE = {"token_drop": 0.2, "span_mask": 0.3}
MIX = {"mixup_alpha": 0.5, "cutmix_alpha": 1.0}
CASES = {
    "image": (images(13), IMAGE),
    "grey image": (images(13, 1, 8, 8), IMAGE),
    "table": (torch.randn(13, 7), TABLE),
    "sequence": (torch.arange(13 * 20).view(13, 20) + 1, SEQUENCE),
}


def parts(batch: Batch) -> list[Tensor]:
    return [value for entry in fields(batch) if (value := getattr(batch, entry.name)) is not None]


def test_augmentation_is_wanted_exactly_when_something_is_on() -> None:
    on = {**IMAGE, **TABLE, **SEQUENCE, **MIX}
    how = {"rand_augment_std": on.pop("rand_augment_std"), "rand_augment_m": 3.0}

    assert not wanted(Options())
    assert not wanted(Options(**how))
    assert [name for name, value in on.items() if wanted(Options(**{name: value}))] == list(on)


@pytest.mark.parametrize("mix", [{}, MIX, {"mixup_alpha": 0.5}, {"cutmix_alpha": 1.0}])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("world", [2, 3])
def test_shares_of_ranks_make_up_the_batch_of_one(world: int, case: str, mix: dict[str, float]) -> None:
    x, options = CASES[case]
    edges = [rank * len(x) // world for rank in range(world + 1)]
    shares = [slice(*edge) for edge in pairwise(edges)]
    whole = augmented(x, **options, **mix)
    ranks = [augmented(x, share=share, **options, **mix) for share in shares]

    together = [torch.cat(values) for values in zip(*map(parts, ranks), strict=True)]
    assert not torch.equal(x, whole.x)
    assert len(parts(whole)) == len(together)
    for one, all_of_them in zip(parts(whole), together, strict=True):
        assert torch.equal(one, all_of_them)


@pytest.mark.parametrize("more", [{}, MIX, {**MIX, "swap_noise": 0.0}])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("world", [1, 2, 3, 20])
def test_which_rows_each_rank_takes_is_known_before(world: int, case: str, more: dict[str, float]) -> None:
    x, options = CASES[case]
    read: list[list[int]] = []

    def take(rows: Tensor) -> tuple[Tensor, Tensor]:
        read.append(rows.tolist())
        return x[rows], rows

    augment = Augment(Options(**{**options, **more}), a_form(x), lambda x: x, CPU)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    edges = [rank * len(x) // world for rank in range(world + 1)]
    shares = [slice(*edge) for edge in pairwise(edges)]
    for share in shares:
        augment(take, order, share, 3)

    assert read == [augment.taken(order, share, 3).tolist() for share in shares]


@pytest.mark.parametrize("case", CASES)
def test_a_seed_alone_decides(case: str) -> None:
    x, options = CASES[case]
    torch.manual_seed(1)
    first = augmented(x, **options, **MIX)
    torch.manual_seed(2)
    again, other = augmented(x, **options, **MIX), augmented(x, seed=8, **options, **MIX)

    assert all(map(torch.equal, parts(first), parts(again)))
    assert not torch.equal(first.x, other.x)


@pytest.mark.parametrize("case", CASES)
def test_the_data_are_never_changed(case: str) -> None:
    x, options = CASES[case]
    form, before, state = a_form(x), x.clone(), torch.get_rng_state()
    augment = Augment(Options(**options, **MIX), form, lambda x: x, CPU)
    for seed in range(3):
        augment(lambda _: (x, x[:, 0]), torch.arange(len(x)), slice(None), seed)  # rows that are not copies

    assert torch.equal(before, x)
    assert torch.equal(state, torch.get_rng_state())


def test_rows_of_validation_are_never_augmented() -> None:
    plain, other = (
        load(Config.read({"HYPERSWEEP_TRAINER": json.dumps({"model": "cnn", **options})}), CPU).val
        for options in ({}, {**IMAGE, **MIX})
    )
    rows = torch.arange(len(plain))

    assert torch.equal(plain.take(rows)[0], other.take(rows)[0])
    assert torch.equal(other.take(rows)[0], other.take(rows)[0])


@pytest.mark.parametrize(("world", "most"), [(1, 16), (4, 8)])
def test_no_row_is_augmented_twice(world: int, most: int) -> None:
    x, read = images(16), []

    def take(rows: Tensor) -> tuple[Tensor, Tensor]:
        read.append(rows.tolist())
        return x[rows], rows

    augment = Augment(Options(**IMAGE, **MIX), a_form(x), lambda x: x, CPU)
    batch = augment(take, torch.arange(16).flip(0), slice(0, 16 // world), 3)
    assert batch.other_y is not None

    assert 1 == len(read)
    assert len(read[0]) == len(set(read[0])) <= most
    assert set(batch.y.tolist()) | set(batch.other_y.tolist()) == set(read[0])


def test_repeated_rows_are_augmented_anew_each_time() -> None:
    x = images(1)
    augment = Augment(Options(rand_augment_n=2, flip=0.5), a_form(x), lambda x: x, CPU)
    batch = augment(lambda rows: (x[rows], rows), torch.zeros(16, dtype=torch.int64), slice(None), 3)

    assert len(torch.unique(batch.x.flatten(1), dim=0)) >= 8


def test_noise_falls_on_columns_of_numbers_alone() -> None:
    x, labels = torch.zeros(4000, 7), torch.arange(4000)
    batch = augmented(x, labels, form=a_form(x, numbers=5), noise=0.3)

    assert pytest.approx(0.3, rel=0.02) == float(batch.x[:, :5].std())
    assert abs(batch.x[:, :5].mean()) < 0.01
    assert 0 == batch.x[:, 5:].abs().max()
    assert torch.equal(labels, batch.y)


def test_swap_noise_takes_cells_from_other_rows_of_the_same_column() -> None:
    x = torch.arange(500).float()[:, None] + 1000 * torch.arange(20)
    batch = augmented(x, swap_noise=0.15)
    swapped = batch.x != x
    donors = (batch.x % 1000)[swapped] - (x % 1000)[swapped]

    assert torch.equal(x // 1000, batch.x // 1000)
    assert pytest.approx(0.15, abs=0.01) == float(swapped.float().mean())
    assert (swapped.float().mean(0) - 0.15).abs().max() < 0.06
    assert donors.abs().min() >= 1
    assert len(torch.unique(donors % 500)) > 450  # any row of the batch


def test_a_swapped_cell_never_comes_from_its_own_row() -> None:
    x = torch.arange(2).float()[:, None].expand(2, 5000)
    found = augmented(x, swap_noise=0.3).x

    assert pytest.approx(0.3, abs=0.02) == float((found != x).float().mean())
    assert torch.equal(x[:1], augmented(x[:1], swap_noise=0.9).x)  # there is no other


def test_the_target_of_a_rebuilt_row_is_without_noise() -> None:
    x = torch.randn(64, 7)
    batch = augmented(x, x, form=a_form(x, "reconstruction", 7), noise=0.3, swap_noise=0.1)

    assert torch.equal(x, batch.y)
    assert not torch.equal(x, batch.x)


def test_dropped_tokens_become_token_0_and_targets_stay() -> None:
    x = torch.arange(200 * 50).view(200, 50) + 1
    batch = augmented(x, x, form=a_form(x, "tokens"), token_drop=0.2)
    hidden = batch.x == 0

    assert torch.int64 == batch.x.dtype
    assert pytest.approx(0.2, abs=0.01) == float(hidden.float().mean())
    assert torch.equal(x[~hidden], batch.x[~hidden])
    assert torch.equal(x, batch.y)


def test_a_span_hides_one_run_of_each_sequence_anywhere() -> None:
    x = torch.arange(400 * 20).view(400, 20) + 1
    batch = augmented(x, x, form=a_form(x, "tokens"), span_mask=0.3)
    hidden = batch.x == 0
    starts = hidden.int().argmax(1)

    assert (6 == hidden.sum(1)).all()
    assert (hidden.int().diff(dim=1).abs().sum(1) <= 2).all()
    assert list(range(15)) == sorted(set(starts.tolist()))
    assert torch.equal(x[~hidden], batch.x[~hidden])
    assert torch.equal(x, batch.y)


def test_most_of_a_short_sequence_may_be_hidden() -> None:
    x = torch.ones(16, 2, dtype=torch.int64)

    assert np.isin((augmented(x, span_mask=0.9).x == 0).sum(1), (1, 2)).all()
