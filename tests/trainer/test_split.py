"""Splits: stratified, nested, the same in every trial, and never a row in two parts."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hypersweep_trainer.counter import draw, shuffled
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.data.split import Split, folds, rows, stratified
from hypersweep_trainer.options import Options

Labels = NDArray[np.int64]
CLASSES = Options(target="classification")
labels = st.lists(st.integers(0, 4), min_size=20, max_size=200).map(np.array)


def a_split(labels: Labels, options: Options = CLASSES, fraction: float = 1.0) -> Split:
    return rows(len(labels), labels, options, fraction)


def off(labels: Labels, part: Labels, whole: Labels) -> float:
    """By how many rows a class in a part is off its share of the whole, at most."""
    shares = np.bincount(labels[whole], minlength=5) / len(whole)
    return round(float(np.abs(np.bincount(labels[part], minlength=5) - shares * len(part)).max()), 9)


def common(labels: Labels, part: Labels) -> bool:
    """Whether each class has so many rows that a part of this size has one of it anyway, and spares two."""
    sizes = np.unique(labels, return_counts=True)[1]
    return bool(
        (sizes * len(part) >= len(labels)).all() and (sizes - sizes * len(part) / len(labels) >= 3).all()
    )


@given(labels, st.floats(0.01, 0.5), st.floats(0, 0.4), st.integers(0, 99))
def test_a_split_puts_every_row_into_one_part_and_keeps_class_shares_to_one_row(
    labels: Labels, val: float, test: float, seed: int
) -> None:
    split = a_split(labels, replace(CLASSES, val_fraction=val, test_fraction=test, split_seed=seed))
    rest = np.sort(np.concatenate([split.train, split.val]))

    assert list(range(len(labels))) == sorted([*split.train, *split.val, *split.test])
    assert round(test * len(labels)) == len(split.test)
    assert max(1, round(val * len(labels))) == len(split.val)
    for part, whole in ((split.test, np.arange(len(labels))), (split.val, rest), (split.train, rest)):
        assert off(labels, part, whole) < (1 if common(labels, part) else len(np.unique(labels)))


@given(labels, st.floats(0.05, 1), st.floats(0.05, 1), st.integers(0, 99))
def test_a_smaller_data_fraction_is_a_stratified_part_of_a_larger_one(
    labels: Labels, one: float, other: float, seed: int
) -> None:
    options = replace(CLASSES, split_seed=seed)
    small, large = (a_split(labels, options, fraction).train for fraction in sorted((one, other)))
    whole = a_split(labels, options).train

    assert set(small) <= set(large)
    assert max(1, round(min(one, other) * len(whole))) == len(small)
    assert off(labels, small, whole) < (1 if common(labels[whole], small) else len(np.unique(labels)))


def test_subset_fraction_and_the_fraction_of_a_stage_are_one_share_of_the_training_rows() -> None:
    labels = np.repeat(np.arange(10), 100)
    options = replace(CLASSES, subset_fraction=0.5)
    tenth, fifth = (a_split(labels, options, fraction) for fraction in (0.2, 0.4))

    assert 60 == len(tenth.train)
    assert [6] * 10 == np.bincount(labels[tenth.train]).tolist()
    assert set(tenth.train) <= set(fifth.train)
    assert tenth.train.tolist() == a_split(labels, CLASSES, 0.1).train.tolist()
    assert tenth.val.tolist() == fifth.val.tolist() == a_split(labels).val.tolist()


@given(labels, st.integers(2, 7), st.floats(0, 0.4))
def test_with_folds_every_row_outside_of_the_test_part_validates_once(
    labels: Labels, count: int, test: float
) -> None:
    options = replace(CLASSES, folds=count, test_fraction=test)
    splits = [a_split(labels, replace(options, fold=fold)) for fold in range(count)]
    rest = np.sort(np.concatenate([splits[0].train, splits[0].val]))

    assert rest.tolist() == sorted(row for split in splits for row in split.val)
    for split in splits:
        assert splits[0].test.tolist() == split.test.tolist()
        assert rest.tolist() == sorted([*split.train, *split.val])
        assert abs(len(split.val) - len(rest) / count) < 1
        equal = np.bincount(labels[rest], minlength=5) / count
        assert (np.abs(np.bincount(labels[split.val], minlength=5) - equal) < 1).all()


@given(labels, st.floats(0.05, 0.5), st.floats(0, 0.4), st.floats(0.05, 1), st.integers(0, 99))
def test_no_part_lacks_a_class_that_has_rows_enough(
    labels: Labels, val: float, test: float, fraction: float, seed: int
) -> None:
    options = replace(CLASSES, val_fraction=val, test_fraction=test, split_seed=seed)
    split = a_split(labels, options, fraction)
    classes, sizes = np.unique(labels, return_counts=True)

    for part, least in ((split.test, 3), (split.val, 2), (split.train, 2)):
        if len(part) >= len(classes):
            assert set(classes[sizes >= least]) <= set(labels[part])


def test_a_class_of_two_rows_trains_and_validates_and_one_of_three_is_tested_too() -> None:
    labels = np.array([0] * 40 + [1, 1] + [2, 2, 2])
    for seed in range(20):
        split = a_split(labels, replace(CLASSES, split_seed=seed))

        assert [1, 1, 0] == [int((labels[part] == 1).sum()) for part in (split.train, split.val, split.test)]
        assert [1, 1, 1] == [int((labels[part] == 2).sum()) for part in (split.train, split.val, split.test)]


@pytest.mark.parametrize("change", [{"val_fraction": 0.5}, {"folds": 5, "fold": 3}, {"subset_fraction": 0.1}])
def test_the_test_part_is_set_aside_before_anything_else(change: dict[str, float]) -> None:
    labels = np.arange(500) % 3

    assert a_split(labels).test.tolist() == a_split(labels, replace(CLASSES, **change)).test.tolist()


def test_another_split_seed_is_another_split_and_the_digest_tells() -> None:
    labels = np.arange(100) % 2
    changes: list[dict[str, int]] = [{}, {"split_seed": 1}, {"folds": 4}, {"val_fraction": 0.3}]
    splits = [a_split(labels, replace(CLASSES, **change)) for change in changes]

    assert splits[0].test.tolist() != splits[1].test.tolist()
    assert 4 == len({split.digest for split in splits})
    assert splits[0].digest == a_split(labels).digest != a_split(labels, CLASSES, 0.5).digest


@pytest.mark.parametrize(
    "options", [Options(target="regression"), Options(target="classification", stratify=False)]
)
def test_without_strata_labels_do_not_move_rows(options: Options) -> None:
    one, other = a_split(np.arange(90) % 2, options), a_split(np.arange(90) % 5, options)

    assert one.digest == other.digest
    assert one.digest != a_split(np.arange(90) % 2).digest


def test_tokens_are_split_into_blocks_in_their_order() -> None:
    stream = Options(target="tokens", val_fraction=0.2, test_fraction=0.1)
    split = rows(1000, np.zeros(1000), stream, 0.5)
    folded = rows(1000, np.zeros(1000), replace(stream, folds=3, fold=1), 1.0)

    assert list(range(350)) == split.train.tolist()
    assert list(range(700, 900)) == split.val.tolist()
    assert list(range(900, 1000)) == split.test.tolist()
    assert list(range(300, 600)) == folded.val.tolist()
    assert [*range(300), *range(600, 900)] == folded.train.tolist()


@pytest.mark.parametrize(
    ("count", "options", "words"),
    [
        (1, replace(CLASSES, test_fraction=0.0), "training and validation need at least 2"),
        (5, replace(CLASSES, folds=5), "5 rows leave 4 .* need at least 5"),
        (3, Options(target="tokens", test_fraction=0.8), "3 rows leave 1 .* need at least 2"),
    ],
)  # fmt: skip
def test_too_few_rows_are_refused(count: int, options: Options, words: str) -> None:
    with pytest.raises(DataError, match=words):
        rows(count, np.zeros(count, np.int64), options, 1.0)


def test_folds_hold_equal_shares_of_every_class() -> None:
    strata = np.repeat([0, 1, 2], [50, 33, 7])
    fold = folds(strata, 5, 0, "folds")
    counts = np.array([np.bincount(strata[fold == number], minlength=3) for number in range(5)])

    assert [18] * 5 == counts.sum(1).tolist()
    assert (counts.max(0) - counts.min(0) <= 1).all()


@given(labels, st.integers(0, 9))
def test_no_class_is_ever_a_whole_row_off_its_share_of_a_stratified_order(labels: Labels, seed: int) -> None:
    count = len(labels)
    order = stratified(labels, count, seed, "train")
    found = np.cumsum(np.eye(5)[labels[order]], 0)
    expected = np.arange(1, count + 1)[:, None] * np.bincount(labels, minlength=5) / count

    assert list(range(count)) == sorted(order)
    assert np.abs(found - expected).max() < 1 - 1e-9
    assert order[: count // 3].tolist() == stratified(labels, count // 3, seed, "train").tolist()


def test_an_order_depends_on_all_of_its_key_and_is_the_same_for_ever() -> None:
    assert [5, 2, 0, 4, 1, 3] == shuffled(6, 1).tolist()
    assert list(shuffled(50, 0, 1)) != list(shuffled(50, 1, 0))
    assert list(range(50)) == sorted(shuffled(50, 3))
    assert 0 <= draw("a", 1) < 2**63
