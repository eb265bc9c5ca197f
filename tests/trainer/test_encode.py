"""Encoders of tables: fitted on the training rows alone, as scikit-learn's, rebuilt exactly from JSON."""

import json
from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler, TargetEncoder

from hypersweep_trainer.data import column, encode, mean, synthetic
from hypersweep_trainer.data.column import POINTS, Linear, Quantile, RankGauss
from hypersweep_trainer.data.encode import Encoder, fit, parts
from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.data.scaling import Scaling
from hypersweep_trainer.data.split import Split
from hypersweep_trainer.options import Options

CPU = torch.device("cpu")
CLASSES = Options(data="t.csv", task="tabular", target="classification")
LOGNORMAL = np.exp(np.random.default_rng(0).standard_normal(20_000))
RANDOM = np.random.default_rng(1)

Cells = NDArray[Any]


def encoded(cells: Cells, unseen: Cells | None = None, **options: Any) -> NDArray[np.float64]:
    """A column of numbers as training rows see it, or as rows do that came later."""
    encoder = column.fit(cells, cells, replace(CLASSES, **options))
    return encoder.apply(cells if unseen is None else unseen)


def texts(*cells: str | None) -> Cells:
    return np.array(cells, object)


def synthetic_table(**options: Any) -> Raw:
    return synthetic.read(Options(data="synthetic_table", synthetic_rows=600, **options))


def a_split(count: int) -> Split:
    order = np.random.default_rng(3).permutation(count)
    return Split(np.sort(order[: count // 2]), np.sort(order[count // 2 :]), order[:0])


# Standard


def test_standard_columns_have_mean_0_and_deviation_1_over_training_rows_as_in_scikit_learn() -> None:
    seconds = 1.7e9 + LOGNORMAL  # of a clock; scikit-learn's own mean is 2e-6 off here
    cells = np.stack([LOGNORMAL * 1e6, LOGNORMAL * 1e-9, seconds], 1)
    fitted = np.stack([encoded(one, num_encoder="standard") for one in cells.T], 1)
    expected = StandardScaler().fit_transform(cells)

    assert np.abs(fitted.mean(0)).max() < 1e-6
    assert np.abs(fitted.std(0) - 1).max() < 1e-6
    np.testing.assert_allclose(fitted[:, :2], expected[:, :2], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(fitted[:, 2], expected[:, 2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["standard", "quantile", "rankgauss"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_a_constant_column_becomes_0_also_where_later_rows_differ(kind: str, value: float) -> None:
    constant = np.full(77, value)

    assert [0.0] * 77 == encoded(constant, num_encoder=kind).tolist()
    assert [0.0, 0.0] == encoded(constant, np.array([value + 1, -3.0]), num_encoder=kind).tolist()


@pytest.mark.parametrize("kind", ["standard", "quantile", "rankgauss"])
def test_encoders_know_the_training_rows_alone(kind: str) -> None:
    """Row numbers of validation must not move what training sees; its own statistics are not 0 and 1."""
    raw = Raw("tabular", "classification", np.arange(400) % 2, "", ("a", "b"), {"x": LOGNORMAL[:400].copy()})
    split, options = a_split(400), replace(CLASSES, num_encoder=kind)
    before = parts(raw, split, options, CPU, False)
    assert raw.columns is not None
    raw.columns["x"][split.val] *= 100
    after = parts(raw, split, options, CPU, False)
    refitted = parts(raw, Split(split.val, split.train, split.test), options, CPU, False)

    assert torch.equal(before.train.x, after.train.x)
    assert not torch.equal(before.val.x, after.val.x)
    assert abs(float(before.val.x.mean())) > 1e-4
    assert not torch.equal(refitted.train.x, after.val.x)
    assert before.encoding == after.encoding != refitted.encoding


def test_unencoded_numbers_are_as_they_are() -> None:
    assert LOGNORMAL.tolist() == encoded(LOGNORMAL, num_encoder="none").tolist()


# Quantile


@pytest.mark.parametrize("quantiles", [10, 1000, 100_000])
def test_quantiles_are_those_of_scikit_learn_ties_and_outliers_included(quantiles: int) -> None:
    rounded = np.round(LOGNORMAL[:3000], 1)
    unseen = np.concatenate([np.linspace(-5, 60, 999), rounded[:50] + 1e-9, [np.median(rounded)]])
    oracle = QuantileTransformer(
        n_quantiles=min(quantiles, 3000), output_distribution="normal", subsample=None
    )
    expected = oracle.fit_transform(rounded[:, None])[:, 0], oracle.transform(unseen[:, None])[:, 0]
    found = (encoded(rounded, rows, num_encoder="quantile", quantiles=quantiles) for rows in (None, unseen))

    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-12)


def test_quantiles_of_a_lognormal_column_are_normal_monotone_and_within_5_2() -> None:
    found = encoded(LOGNORMAL, num_encoder="quantile")
    ordered = np.sort(found)
    normal = torch.special.ndtr(torch.from_numpy(ordered)).numpy()
    rank = np.arange(len(ordered)) / len(ordered)

    assert 5.1993 == pytest.approx(found.max(), abs=1e-4) == pytest.approx(-found.min(), abs=1e-4)
    assert max(np.abs(normal - rank).max(), np.abs(normal - rank - 1 / len(rank)).max()) < 0.02
    assert (np.diff(found[np.argsort(LOGNORMAL)]) >= 0).all()
    assert found.tolist() == encoded(LOGNORMAL, num_encoder="quantile", split_seed=9).tolist()


# RankGauss


def test_rankgauss_is_the_inverse_error_function_of_the_rank() -> None:
    rank = np.argsort(np.argsort(LOGNORMAL))
    by_hand = torch.erfinv(torch.from_numpy(2 * (rank + 0.5) / len(rank) - 1)).numpy()
    bare = encoded(LOGNORMAL[:POINTS], num_encoder="rankgauss", rankgauss_unit=False)
    whole = encoded(LOGNORMAL, num_encoder="rankgauss")

    assert 0.7071 == pytest.approx(by_hand.std(), abs=2e-4) == pytest.approx(bare.std(), abs=3e-4)
    assert 1.0 == pytest.approx(whole.std(), abs=3e-4)
    np.testing.assert_allclose(whole, by_hand * 2**0.5, rtol=0, atol=2e-3)  # a thinned table
    rank = np.argsort(np.argsort(LOGNORMAL[:POINTS]))
    by_hand = torch.erfinv(torch.from_numpy(2 * (rank + 0.5) / POINTS - 1)).numpy()
    np.testing.assert_allclose(bare, by_hand, rtol=0, atol=1e-12)
    assert (np.argsort(bare) == np.argsort(LOGNORMAL[:POINTS])).all()


def test_rankgauss_gives_equal_cells_equal_places_and_mean_0() -> None:
    found = encoded(np.array([3.0, 1.0, 3.0, 2.0, 9.0, 3.0]), num_encoder="rankgauss", rankgauss_unit=False)
    u = 2 * (np.array([3.0, 0, 3, 1, 5, 3]) + 0.5) / 6 - 1
    places = torch.erfinv(torch.from_numpy(u)).numpy()

    np.testing.assert_allclose(found, places - places.mean(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("missing", ["median", "mean"])
def test_rankgauss_leaves_a_column_of_0_and_1_as_it_is(missing: str) -> None:
    binary = (LOGNORMAL[:99] > 1).astype(np.float64)
    binary[7] = np.nan
    options = replace(CLASSES, num_encoder="rankgauss", missing=missing)
    found = fit({"x": binary}, np.arange(99) % 2, options).rows({"x": binary})[:, 0]

    assert np.delete(binary, 7).astype(np.float32).tobytes() == np.delete(found, 7).tobytes()


def test_rankgauss_interpolates_later_cells_and_holds_its_ends() -> None:
    seen = np.array([0.0, 1.0, 2.0, 4.0])
    places = encoded(seen, num_encoder="rankgauss")
    found = encoded(seen, np.array([-9.0, 0.5, 3.0, 4.0, 99.0]), num_encoder="rankgauss")

    expected = [places[0], (places[0] + places[1]) / 2, (places[2] + places[3]) / 2, places[3], places[3]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


# Empty cells


@pytest.mark.parametrize(("missing", "fill"), [("median", 2.0), ("mean", 3.0)])
def test_an_empty_cell_takes_the_median_or_mean_of_the_training_rows(missing: str, fill: float) -> None:
    options = replace(CLASSES, num_encoder="none", missing=missing)
    encoder = fit({"x": np.array([1.0, np.nan, 2.0, 6.0])}, np.zeros(4, np.int64), options)

    assert [[fill], [7.0]] == encoder.rows({"x": np.array([np.nan, 7.0])}).tolist()


def test_an_empty_cell_is_refused_with_its_row_where_missing_says_so() -> None:
    raw = Raw("tabular", "classification", np.arange(8) % 2, "", ("a", "b"), {"age": np.arange(8.0)})
    assert raw.columns is not None
    encoder = fit(raw.columns, raw.labels, replace(CLASSES, missing="refuse"))
    raw.columns["age"][[5, 6]] = np.nan

    with pytest.raises(DataError, match=r"^t\.csv, column age: row 6 is empty, and missing is refuse"):
        parts(raw, a_split(8), replace(CLASSES, missing="refuse"), CPU, False)
    with pytest.raises(DataError, match="column age: row 2 is empty, but each row needs a finite number"):
        encoder.rows({"age": np.array([1.0, np.nan])})


def test_a_column_that_is_empty_among_training_rows_alone_becomes_0() -> None:
    encoder = fit({"x": np.array([np.nan, np.nan])}, np.array([0, 1]), CLASSES)

    assert [[0.0], [0.0]] == encoder.rows({"x": np.array([5.0, np.nan])}).tolist()


# Categories


def test_categories_are_counted_from_1_the_empty_one_among_them_and_unseen_ones_are_0() -> None:
    encoder = fit({"n": np.arange(4.0), "c": texts("b", None, "a", "b")}, np.arange(4) % 2, CLASSES)
    rows = encoder.rows({"c": texts("a", "b", None, "zebra"), "n": np.zeros(4)})

    assert ("", "a", "b") == encoder.categories[0].values
    assert [2.0, 3.0, 1.0, 0.0] == rows[:, 1].tolist()


def test_codes_say_which_column_of_scikit_learns_one_hot_is_hot() -> None:
    """With code 0, of an unseen category, none is: its row is all zeros."""
    seen, later = texts(*"abcab"), texts("c", "z", "a")
    codes = fit({"c": seen}, np.zeros(5, np.int64), CLASSES).rows({"c": later})
    hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(seen[:, None])

    assert hot.transform(later[:, None]).tolist() == np.eye(4)[codes[:, 0].astype(int), 1:].tolist()
    assert [1.0, 0.0, 1.0] == hot.transform(later[:, None]).sum(1).tolist()


def test_numbers_named_as_categories_are_found_again_as_numbers() -> None:
    encoder = fit({"c": texts("1", "2.5", "30")}, np.zeros(3, np.int64), CLASSES)

    assert [[3.0], [2.0], [0.0], [0.0]] == encoder.rows({"c": np.array([30.0, 2.5, np.nan, 4.0])}).tolist()


def test_a_table_to_rebuild_holds_its_categories_as_zeros_and_ones() -> None:
    raw = replace(synthetic_table(), target="reconstruction", labels=np.zeros(600, np.int64))
    made = parts(raw, a_split(600), replace(CLASSES, target="reconstruction"), CPU, False)
    hot = made.train.x[:, 7:]

    assert () == made.categories
    assert made.numbers == made.train.x.shape[1]
    assert torch.equal(made.train.x, made.train.y)
    assert {0.0, 1.0} == set(hot.unique().tolist())
    assert (hot.sum(1) == 3).all()


# Target encoding


@pytest.mark.parametrize("smooth", [0.0, 10.0])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "continuous"])
def test_mean_targets_are_those_of_scikit_learn_as_a_whole_and_across_folds(kind: str, smooth: float) -> None:
    count = 500
    cells = np.array([f"c{number:02}" for number in RANDOM.geometric(0.15, count)], object)
    y = {
        "binary": RANDOM.integers(0, 2, count),
        "multiclass": RANDOM.integers(0, 4, count),
        "continuous": RANDOM.standard_normal(count),
    }[kind]
    target = "regression" if kind == "continuous" else "classification"
    options = replace(CLASSES, cat_encoder="target", num_encoder="none", target=target, target_smooth=smooth)
    encoder = fit({"c": cells}, y, options)
    later = np.append(cells, "unseen")
    oracle = TargetEncoder(smooth=smooth, target_type=kind).fit(cells[:, None], y)
    fold = mean.fold(y, options)
    crossed = np.concatenate([
        TargetEncoder(smooth=smooth, target_type=kind)
        .fit(cells[fold != number, None], y[fold != number])
        .transform(cells[fold == number, None])
        for number in range(5)
    ])  # fmt: skip
    place = np.concatenate([np.flatnonzero(fold == number) for number in range(5)])

    np.testing.assert_allclose(
        np.array(encoder.categories[0].means)[encoder.categories[0].rows({"c": later})],
        oracle.transform(later[:, None]),
        rtol=0,
        atol=1e-12,
    )
    np.testing.assert_allclose(encoder.crossed({"c": cells}, y, options)[place], crossed, rtol=0, atol=1e-6)


def test_a_training_rows_own_target_does_not_tell_of_its_category() -> None:
    """A category of one row each knows nothing of y; a plain mean target would be y itself."""
    cells = np.array([f"row {number}" for number in range(200)], object)
    y = RANDOM.integers(0, 2, 200)
    options = replace(CLASSES, cat_encoder="target", target_smooth=0.0, num_encoder="none")
    encoder = fit({"c": cells}, y, options)

    assert y.tolist() == encoder.rows({"c": cells})[:, 0].tolist()
    assert abs(np.corrcoef(encoder.crossed({"c": cells}, y, options)[:, 0], y)[0, 1]) < 0.3


@pytest.mark.parametrize("encoder", ["standard", "quantile"])
def test_target_encoded_categories_are_numbers_of_mean_0_and_deviation_1(encoder: str) -> None:
    raw, split = synthetic_table(), a_split(600)
    options = replace(CLASSES, cat_encoder="target", num_encoder=encoder)
    made = parts(raw, split, options, CPU, False)

    assert (7 + 3 * 3, ()) == (made.numbers, made.categories)
    assert float(made.train.x[:, 7:].mean(0).abs().max()) < 1e-6
    assert float((made.train.x[:, 7:].std(0, correction=0) - 1).abs().max()) < 1e-5
    assert 0 < float(made.val.x[:, 7:].mean(0).abs().max()) < 0.5


# What prediction needs


@pytest.mark.parametrize("numbers", ["none", "standard", "quantile", "rankgauss"])
@pytest.mark.parametrize("categories", ["onehot", "embedding", "target"])
def test_an_encoder_that_went_through_json_encodes_to_the_last_bit(numbers: str, categories: str) -> None:
    raw, split = synthetic_table(), a_split(600)
    options = replace(CLASSES, num_encoder=numbers, cat_encoder=categories)
    made = parts(raw, split, options, CPU, False)
    assert raw.columns is not None
    later = {name: cells[split.val] for name, cells in reversed(raw.columns.items())}
    encoder = Encoder.load(json.loads(json.dumps(made.encoding, sort_keys=True)))

    assert np.float32 == encoder.rows(later).dtype
    assert made.val.x.numpy().tobytes() == encoder.rows(later | {"more": np.zeros(300)}).tobytes()
    assert made.encoding == encoder.plain()


@pytest.mark.parametrize(
    "encoder", [Linear(1 / 3, 7.1), Quantile((0.1, 0.2, 0.2, 1e300)), RankGauss((0.1, 5.0), (-0.3, 1 / 3))]
)
def test_plain_types_of_a_column_make_it_again(encoder: column.Column) -> None:
    assert encoder == column.load(json.loads(json.dumps(column.plain(encoder))))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"n": np.ones(2)}, "column c: must be there, but is not among n"),
        ({"c": texts("a", "b"), "n": texts("1", "12x")}, "column n: row 2 is '12x', but the model needs"),
        ({"c": texts("a"), "n": texts("2020-02-30")}, "row 1 is '2020-02-30', but .* numbers, dates or"),
        ({"c": texts("a"), "n": texts("yes")}, "numbers, dates or truth values, whichever training had$"),
        ({"c": texts("a", "b"), "n": np.array([1, np.inf])}, "column n: row 2 is infinite"),
    ],
)  # fmt: skip
def test_columns_that_a_model_cannot_read_are_refused(columns: dict[str, Cells], words: str) -> None:
    encoder = fit({"n": np.arange(3.0), "c": texts("a", "b", "c")}, np.zeros(3, np.int64), CLASSES)

    with pytest.raises(DataError, match=words):
        encoder.rows(columns)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (np.array([1.0, np.inf, 2.0]), "t.csv, column x: row 2 is infinite, but numbers must be finite"),
        (np.full(3, np.nan), "t.csv, column x: all its cells are empty; leave it out of `features`"),
        (texts(None, None, None), "t.csv, column x: all its cells are empty"),
    ],
)
def test_columns_that_cannot_be_learned_from_are_refused(cells: Cells, words: str) -> None:
    with pytest.raises(DataError, match=words):
        encode.check({"x": cells}, CLASSES)


# The target of a regression


@pytest.mark.parametrize("norm", ["none", "standard", "log"])
def test_a_scaled_target_is_undone_exactly_in_numpy_and_in_torch(norm: str) -> None:
    y = LOGNORMAL[:500] * 40
    scaling = Scaling.fit(y, norm)
    scaled = scaling.apply(y)

    np.testing.assert_allclose(scaling.undo(scaled), y, rtol=1e-12)
    torch.testing.assert_close(scaling.undo(scaling.apply(torch.from_numpy(y))), torch.from_numpy(y))
    np.testing.assert_allclose(scaling.apply(torch.from_numpy(y)).numpy(), scaled, rtol=1e-12)


def test_a_target_is_scaled_to_mean_0_and_deviation_1_as_it_is_or_as_its_logarithm() -> None:
    y = LOGNORMAL[:500] * 40
    plain, logs = (Scaling.fit(y, norm).apply(y) for norm in ("standard", "log"))

    for scaled in (plain, logs):
        assert abs(scaled.mean()) < 1e-12
        assert abs(scaled.std() - 1) < 1e-12
    np.testing.assert_allclose(logs, (np.log(1 + y) - np.log(1 + y).mean()) / np.log(1 + y).std())
    assert y.tolist() == Scaling.fit(y, "none").apply(y).tolist()


def test_equal_targets_are_scaled_by_1() -> None:
    assert Scaling(log(4), 1.0, True) == Scaling.fit(np.full(5, 3.0), "log")
