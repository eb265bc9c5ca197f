"""Categories that are numbers: found again however a file writes them, and those that no model knows."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from hypersweep_trainer.data.encode import Category, Encoder
from tests.trainer.models import a_model
from tests.trainer.test_predict import predicted, probabilities, write

GRADES = [None if row % 9 == 0 else float(row % 3 + 1) for row in range(90)]
OUTCOMES = ["no" if row % 3 == 1 else "yes" for row in range(90)]


def graded(path: Path, shape: str) -> Path:
    """A table whose category is a number: of floats in Parquet, otherwise as a format writes it in CSV."""
    if shape == "parquet":
        parquet.write_table(pa.table({"c": pa.array(GRADES), "k": range(90), "y": OUTCOMES}), path)
        return path
    cells = ["" if grade is None else shape.format(grade) for grade in GRADES]
    return write(path, ("c", "k", "y"), zip(cells, range(90), OUTCOMES, strict=True))


SHAPES = ("parquet", "{:.0f}", "{:.1f}", "{:.2e}")


@pytest.mark.parametrize("trained", SHAPES)
def test_a_category_is_the_same_number_in_every_file(trained: str, tmp_path: Path) -> None:
    ending = "parquet" if trained == "parquet" else "csv"
    data = graded(tmp_path / f"train.{ending}", trained)
    kept = a_model(tmp_path, data=str(data), categorical=["c"])
    expected = probabilities(predicted(kept, data))

    assert 4 == len(np.unique(Encoder.load(kept.data.encoding).categories[0].values))
    assert len(np.unique(expected[:3], axis=0)) == 3
    for shape in SHAPES[1:]:
        assert np.array_equal(expected, probabilities(predicted(kept, graded(tmp_path / "new.csv", shape))))


@pytest.mark.parametrize(
    ("values", "cells", "codes"),
    [
        (("01", "1"), ("1", "01", "1.0", "001"), [2, 1, 2, 0]),
        (("1", "1.0"), ("1.0", "1", "1.00"), [2, 1, 1]),
        (("1.5", "x"), ("1.50", "15e-1", "X", "x"), [1, 1, 0, 2]),
        (("01",), ("1", "1.0"), [0, 0]),  # a name, as of a postal district
        (("9007199254740993",), ("9007199254740992", "9007199254740993.0"), [0, 1]),  # one number as float64
        (("", "0"), ("", "-0", "0.0", "nan", "Infinity", "1_0", " 0", "٠", "1e9999999"), [1, 2, 2, *[0] * 6]),
    ],
)  # fmt: skip
def test_what_training_kept_apart_stays_apart(values: Any, cells: Any, codes: list[int]) -> None:
    assert codes == Category("c", values).rows({"c": np.array(cells, object)}).tolist()


def test_a_column_without_any_known_category_is_told() -> None:
    encoder = Encoder((), (Category("c", ("", "1", "2")), Category("d", tuple("abcdef"))), "codes")

    def notes(c: list[str | None], d: list[str | None]) -> list[str]:
        return list(encoder.notes({"c": np.array(c, object), "d": np.array(d, object)}))

    assert [] == notes(["9", "2.0"], ["x", "a"])
    assert [] == notes([None, None], ["f", "g"])
    one, other = notes(["one", "two"], [None, "A"])
    assert one.startswith("column c: row 1 is 'one', and neither it nor any other is a category of training")
    assert one.endswith(": '', '1', '2'")
    assert other.startswith("column d: row 1 is '', and")
    assert other.endswith(": 'a', 'b', 'c', 'd', 'e', …")
