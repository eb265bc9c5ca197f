"""Numbers of any size: what is learned of a column or a target does not depend on its unit."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.preprocessing import QuantileTransformer

from hypersweep_trainer.data import column, label
from hypersweep_trainer.data.column import Linear
from hypersweep_trainer.data.encode import Number
from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.data.scaling import Scaling
from hypersweep_trainer.options import Options
from tests.trainer.runs import an_environment, left, message, train

X = np.random.default_rng(0).normal(size=600) * 3
SCALES = (1e-290, 1e-170, 1e-8, 1e8, 1e150, 1e200)


def encoded(cells: NDArray[np.float64], encoder: str) -> NDArray[np.float64]:
    return column.fit(cells, cells, Options(num_encoder=encoder)).apply(cells)


# columns


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("encoder", ["standard", "quantile", "rankgauss"])
def test_a_column_is_encoded_alike_in_every_unit(encoder: str, scale: float) -> None:
    np.testing.assert_allclose(encoded(X * scale, encoder), encoded(X, encoder), rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-12, 1e-8, 1e-6, 1.0])
def test_quantiles_of_a_narrow_column_are_those_that_scikit_learn_finds_in_a_wide_one(scale: float) -> None:
    oracle = QuantileTransformer(n_quantiles=600, output_distribution="normal", subsample=None)
    expected = oracle.fit_transform(X[:, None])[:, 0]

    np.testing.assert_allclose(encoded(X * scale, "quantile"), expected, rtol=0, atol=1e-9)
    assert 2 == int((np.abs(expected) > 5).sum())


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-302])
@pytest.mark.parametrize("encoder", ["standard", "quantile", "rankgauss"])
def test_a_column_so_narrow_that_nothing_can_widen_it_counts_as_constant(encoder: str, scale: float) -> None:
    assert [0.0] * 600 == encoded(X * scale, encoder).tolist()


def test_the_deviation_of_usual_numbers_is_numpys_to_the_last_bit() -> None:
    for cells in (X, np.exp(X), 1.7e9 + X):
        assert 1 / float(cells.std()) == Linear.fit(cells).factor


@pytest.mark.parametrize(
    ("encoder", "cell", "words"),
    [
        ("none", 1e39, "1e+39 becomes 1e+39"),
        ("standard", -1e60, "-1e+60 becomes -"),
        ("standard", 1e300, "inf"),
    ],
)
def test_a_number_that_no_network_holds_is_refused(encoder: str, cell: float, words: str) -> None:
    number = Number.fit("x", X * 1e-20, Options(num_encoder=encoder))

    assert abs(number.rows({"x": np.array([1e15])})[0]) > 1e14
    with pytest.raises(DataError, match=f"^column x: .*{re.escape(words)}.*, but must stay within ±3.4"):
        number.rows({"x": np.array([0.0, cell])})


# targets


@pytest.mark.parametrize("scale", SCALES)
def test_a_target_is_scaled_alike_in_every_unit(scale: float) -> None:
    y = X * scale
    scaling = Scaling.fit(y, "standard")

    np.testing.assert_allclose(scaling.apply(y), (X - X.mean()) / X.std(), rtol=0, atol=1e-9)
    np.testing.assert_allclose(scaling.undo(scaling.apply(y)), y, rtol=1e-12)
    assert 1.0 == Scaling.fit(X * 1e-302, "standard").scale


def a_target(y: NDArray[np.float64]) -> Raw:
    return Raw("tabular", "regression", y, "", columns={"x": X[: len(y)]})


REGRESSION = Options(data="t.csv", target="regression")


def test_targets_whose_squares_are_too_small_for_any_metric_are_refused() -> None:
    label.check(a_target(np.array([0.0, 1e-149])), REGRESSION)

    with pytest.raises(
        DataError, match=r"^t\.csv: the targets go from 0 to 1e-200, but must differ by 1e-150"
    ):
        label.check(a_target(np.array([1e-200, 0.0])), REGRESSION)


def test_targets_outside_of_the_output_range_are_refused_with_the_first_one() -> None:
    options, y = replace(REGRESSION, output_range=(0.0, 1.0)), np.array([0.0, 0.5, 1.0, -2.5, 7.0])
    label.check(a_target(y[:3]), options)

    for rows in (y, -y[3:]):
        row = int(((rows < 0) | (rows > 1)).argmax())
        words = (
            rf"^t\.csv: the target of row {row + 1} is {rows[row]:g}, but output_range needs all from 0 to 1"
        )
        with pytest.raises(DataError, match=words):
            label.check(a_target(rows), options)


# trials


def ended(root: Path, x: NDArray[np.float64], y: Any, **options: Any) -> int:
    rows = [f"{float(one)!r},{other}" for one, other in zip(x, y, strict=True)]
    (root / "t.csv").write_text("\n".join(["x,y", *rows]))
    return train(an_environment(root, {"data": str(root / "t.csv"), "epochs": 30, "lr": 0.03, **options}))


@pytest.mark.parametrize("encoder", ["standard", "quantile"])
def test_a_trial_learns_from_a_column_of_tiny_numbers(tmp_path: Path, encoder: str) -> None:
    classes = np.where(np.median(X) < X, "high", "low")

    assert 0 == ended(tmp_path, X * 1e-170, classes, num_encoder=encoder)
    assert left(tmp_path, "result.json")["metrics"]["val_accuracy"]["value"] > 0.95


def test_a_trial_says_which_target_it_cannot_use(tmp_path: Path) -> None:
    for scale, words in (
        (1e-200, "must differ by 1e-150 at least: multiply them"),
        (1, "output_range needs all"),
    ):
        root = tmp_path / str(scale)
        root.mkdir()

        assert 78 == ended(root, X, (X * scale).tolist(), target="regression", output_range=[0, 1])
        assert words in message(root)
