"""Data: stratified splits that no trial changes, nested subsets, encoders fitted on training rows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hypersweep_trainer.config import Config
from hypersweep_trainer.counter import draw, shuffled
from hypersweep_trainer.data import Data, load, split, stratified

CPU = torch.device("cpu")
labels = st.lists(st.integers(0, 4), min_size=20, max_size=200).map(np.array)


def a_data_set(name: str, **variables: str) -> Data:
    return load(Config.read({"HYPERSWEEP_TRAINER": f'{{"data": "{name}"}}', **variables}), CPU)


@given(labels, st.floats(0.01, 0.5), st.floats(0, 0.4), st.integers(0, 99))
def test_a_split_puts_every_row_into_one_part_and_keeps_class_shares_to_one_row(
    labels: np.ndarray, val: float, test: float, seed: int
) -> None:
    parts = split(labels, False, (val, test, 1.0), seed)

    assert list(range(len(labels))) == sorted(int(row) for part in parts for row in part)
    for label in np.unique(labels):
        share = (labels == label).mean() * len(parts[1])
        assert abs((labels[parts[1]] == label).sum() - share) <= 1


@given(labels, st.floats(0.05, 1), st.floats(0.05, 1), st.integers(0, 99))
def test_a_smaller_data_fraction_is_a_stratified_part_of_a_larger_one(
    labels: np.ndarray, one: float, other: float, seed: int
) -> None:
    small, large = (split(labels, False, (0.2, 0.2, part), seed)[0] for part in sorted((one, other)))
    whole = split(labels, False, (0.2, 0.2, 1.0), seed)[0]

    assert set(small) <= set(large)
    assert max(1, round(min(one, other) * len(whole))) == len(small)
    for label in np.unique(labels):
        share = (labels[whole] == label).mean() * len(small)
        assert abs((labels[small] == label).sum() - share) <= 1


def test_an_order_depends_on_all_of_its_key_and_is_the_same_for_ever() -> None:
    assert [5, 2, 0, 4, 1, 3] == shuffled(6, 1).tolist()
    assert list(shuffled(50, 0, 1)) != list(shuffled(50, 1, 0))
    assert list(range(50)) == sorted(shuffled(50, 3))
    assert 0 <= draw("a", 1) < 2**63


def test_every_beginning_of_a_stratified_order_holds_each_class_in_its_share() -> None:
    strata = np.repeat([0, 1], [90, 10])
    order = stratified(strata, 0, "train")

    for length in range(1, 101):
        assert abs((strata[order[:length]] == 1).sum() - length / 10) <= 1


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "diabetes", "wine", "iris"])
def test_encoders_know_the_training_rows_alone(name: str) -> None:
    data = a_data_set(name)
    axes = (0, *range(2, data.train.x.ndim))
    mean, deviation = data.train.x.double().mean(axes), data.train.x.double().std(axes, correction=0)

    assert float(mean.abs().max()) < 1e-6
    assert float((deviation - 1).abs().max()) < 1e-5
    assert float(data.val.x.double().mean(axes).abs().max()) > 1e-4


def test_a_regression_target_is_standardised_and_its_scale_is_kept() -> None:
    data = a_data_set("diabetes")

    assert abs(float(data.train.y.mean())) < 1e-6
    assert 25 <= float(data.train.y.min()) * data.scale + data.center <= 346


def test_the_split_is_the_same_for_every_seed_and_the_test_part_is_read_in_the_final_stage_alone() -> None:
    one, other, final = (
        a_data_set("digits", **variables)
        for variables in ({"HYPERSWEEP_SEED": "1"}, {"HYPERSWEEP_SEED": "2"}, {"HYPERSWEEP_FINAL": "1"})
    )

    assert one.split_digest == other.split_digest == final.split_digest
    assert one.test is None
    assert final.test is not None
    assert 359 == len(final.test)


def test_images_keep_their_shape_and_tables_are_flat() -> None:
    table = load(Config.read({"HYPERSWEEP_TRAINER": '{"task": "tabular"}'}), CPU)

    assert (1, 8, 8) == a_data_set("digits").shape
    assert (64,) == table.shape
