"""Classes in tables and arrays: their names, in every format, in training and where a model is measured."""

import datetime
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from hypersweep_trainer.data import label, table
from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.options import Options
from hypersweep_trainer.serve import evaluate, given
from tests.trainer.models import Kept, a_model
from tests.trainer.runs import an_environment, left, train

LARGE = 2**53  # from here on a float64 tells whole numbers no longer apart


def a_csv(folder: Path, classes: list[str], name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(["a,y", *(f"{row / 8},{cell}" for row, cell in enumerate(classes))]))
    return path


def a_parquet(folder: Path, classes: Any) -> Path:
    path = folder / "rows.parquet"
    parquet.write_table(pa.table({"a": [row / 8 for row in range(len(classes))], "y": classes}), path)
    return path


def read(path: Path, **options: Any) -> Raw:
    kind = path.suffix[1:]
    usual = Options(data=str(path), format=kind, task="tabular", target="classification")
    return table.read(path, kind, replace(usual, **options))


def named(raw: Raw) -> list[str]:
    """The class of each row by its name."""
    return [raw.names[code] for code in raw.labels]


@pytest.mark.parametrize(
    ("cells", "names", "expected"),
    [
        ("01 1 2 1", ("01", "1", "2"), "01 1 2 1"),
        ("1 1.0 2.0 10", ("1", "2", "10"), "1 1 2 10"),
        ("0.5 -1 0.5 1e-05", ("-1", "1e-05", "0.5"), "0.5 -1 0.5 1e-05"),
        (f"{LARGE} {LARGE + 1}", (str(LARGE), str(LARGE + 1)), f"{LARGE} {LARGE + 1}"),
        ("1.10 1.1 1.0", ("1.0", "1.1", "1.10"), "1.10 1.1 1.0"),
        ("-1 +1 -1", ("-1", "+1"), "-1 +1 -1"),
        ("true false TRUE", ("False", "True"), "True False True"),
        ("True False", ("False", "True"), "True False"),
        ("true maybe", ("maybe", "true"), "true maybe"),
        ("1 true", ("1", "true"), "1 true"),
        ("2024-01-02 2024-01-01", ("2024-01-01", "2024-01-02"), "2024-01-02 2024-01-01"),
        ("1.0.0 1.0", ("1.0", "1.0.0"), "1.0.0 1.0"),
    ],
)
def test_each_class_keeps_its_name(tmp_path: Path, cells: str, names: tuple[str, ...], expected: str) -> None:
    raw = read(a_csv(tmp_path, cells.split()))

    assert names == raw.names
    assert expected.split() == named(raw)


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        ([2, 1, 10], ("1", "2", "10")),
        ([2.0, 1.0, 10.0], ("1", "2", "10")),
        ([LARGE, LARGE + 1], (str(LARGE), str(LARGE + 1))),
        ([True, False], ("False", "True")),
        ([datetime.date(2024, 1, 2), datetime.date(2024, 1, 1)], ("2024-01-01", "2024-01-02")),
        (pa.array(["b", "a"], pa.string_view()), ("a", "b")),
        (pa.array(["b", "a"], pa.large_string()), ("a", "b")),
        (pa.array(["b", "a"]).dictionary_encode(), ("a", "b")),
        ([b"b", b"a"], ("a", "b")),
    ],
)
def test_a_parquet_file_names_its_classes_as_a_csv_file_does(
    tmp_path: Path, cells: Any, names: tuple[str, ...]
) -> None:
    words = [cell.decode() if isinstance(cell, bytes) else str(cell) for cell in pa.array(cells).to_pylist()]
    raw = read(a_parquet(tmp_path, cells))

    assert names == raw.names
    assert (raw.names, named(raw)) == (names, named(read(a_csv(tmp_path, words))))


def test_spaces_around_numbers_are_no_part_of_them(tmp_path: Path) -> None:
    assert ("1", "2") == read(a_csv(tmp_path, [" 1", " 2", " 1"])).names
    assert (" 1", " a") == read(a_csv(tmp_path, [" 1", " a", " 1"])).names


def test_dates_that_are_nearly_all_different_are_too_many_classes(tmp_path: Path) -> None:
    days = [str(datetime.date(2024, 1, 1) + datetime.timedelta(row)) for row in range(90)]

    with pytest.raises(DataError, match=r"90 different dates in 90 rows: too many .* the date itself"):
        read(a_csv(tmp_path, days))


@pytest.mark.parametrize("cells", [[str(row / 4) for row in range(90)], [f"{row}.50" for row in range(90)]])
def test_numbers_with_fractions_are_too_many_classes_however_they_are_spelled(
    tmp_path: Path, cells: list[str]
) -> None:
    with pytest.raises(DataError, match="90 different numbers in 90 rows: too many classes"):
        read(a_csv(tmp_path, cells))


@pytest.mark.parametrize("word", ["NA", "null", "nan", "#N/A"])
def test_a_word_that_counts_as_an_empty_cell_is_told_where_a_class_must_be(tmp_path: Path, word: str) -> None:
    with pytest.raises(DataError, match=f"y: row 2 is '{word}', which counts as an empty cell, but each"):
        read(a_csv(tmp_path, ["EU", word, "EU"]))


def test_the_label_may_be_named_among_categories(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y\n" + "".join(f"{row},{row},0{row % 2}\n" for row in range(60)))
    options = {"data": str(path), "features": ["a"], "categorical": ["y"], "epochs": 1}

    assert 0 == train(an_environment(tmp_path, options))
    assert ["00", "01"] == left(tmp_path, "model/model.json")["names"]
    with pytest.raises(DataError, match=r"rows\.csv: categorical must be among features, but b is not"):
        read(path, features=("a",), categorical=("b",))


def test_names_are_those_of_arrays_too() -> None:
    for cells in (np.array([2, 1, 10]), np.array([2.0, 1.0, 10.0]), np.array(["2", "1", "10"], object)):
        codes, names = label.classes(cells, "")

        assert (("1", "2", "10"), [1, 0, 2]) == (names, codes.tolist())
    assert ("False", "True") == label.classes(np.array([True, False]), "")[1]
    assert (str(LARGE), str(LARGE + 1)) == label.classes(np.array([LARGE + 1, LARGE]), "")[1]


@pytest.mark.parametrize("cell", [math.nan, math.inf])
def test_a_number_that_is_none_is_no_class(cell: float) -> None:
    with pytest.raises(DataError, match=r"^y: row 2 is (empty|infinite), but each row needs a class"):
        label.classes(np.array([1.0, cell]), "y")


# Models that were trained on them


def classes(kept: Kept, path: Path) -> list[int]:
    """The class of each row of a file by the model's codes."""
    found = given.known(kept.model, given.read(kept.model, str(path)), str(path)).labels.tolist()
    assert len(found) == evaluate.run(str(kept.folder), str(path)).rows
    return [int(code) for code in found]


@pytest.mark.parametrize(
    ("trained", "others"),
    [
        (["01", "1", "2"], []),
        (["1.0", "1.1", "1.10"], []),
        (["1", "2", "3"], [["1.0", "2", "3"], [1, 2, 3], [1.0, 2.0, 3.0]]),
        (["false", "true"], [["False", "True"], ["FALSE", "TRUE"], [False, True]]),
        (["2024-01-01", "2024-01-02"], [[datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)]]),
        ([str(LARGE), str(LARGE + 1)], [[LARGE, LARGE + 1]]),
    ],
)
def test_a_model_is_measured_by_the_classes_of_its_training_in_every_format(
    tmp_path: Path, trained: list[str], others: list[list[Any]]
) -> None:
    kept = a_model(tmp_path, data=str(a_csv(tmp_path, trained * 20)))
    codes = list(range(len(trained)))

    assert codes == classes(kept, a_csv(tmp_path, trained, "held.csv"))
    for cells in others:
        spelled = isinstance(cells[0], str)
        path = a_csv(tmp_path, cells, "other.csv") if spelled else a_parquet(tmp_path, cells)
        assert codes == classes(kept, path)


def test_a_label_that_is_no_class_is_named_as_it_stands_there(tmp_path: Path) -> None:
    kept = a_model(tmp_path, data=str(a_csv(tmp_path, ["True", "False"] * 30)))
    held = a_csv(tmp_path, ["True", "Flase", "False"], "held.csv")

    with pytest.raises(DataError, match=r"must be classes of the model \(False, True\), but one is Flase"):
        evaluate.run(str(kept.folder), str(held))


@pytest.mark.parametrize("y", [np.arange(9) % 3 == 0, (np.arange(9) % 3 == 0).astype(str)])
def test_truth_values_of_arrays_are_those_of_tables(tmp_path: Path, y: Any) -> None:
    kept = a_model(tmp_path, data=str(a_csv(tmp_path, ["true", "false"] * 30)))
    np.savez(tmp_path / "held.npz", x=np.arange(9.0)[:, None], y=y)

    assert 9 == evaluate.run(str(kept.folder), str(tmp_path / "held.npz")).rows


def test_a_zero_below_zero_is_no_class_of_its_own(tmp_path: Path) -> None:
    assert ("-1", "0", "1") == read(a_csv(tmp_path, ["-1.0", "-0.0", "0.0", "-0", "1.0"] * 4)).names


def test_an_infinite_number_in_a_file_of_numbers_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column y: row 2 is infinite, but each row needs a class"):
        read(a_parquet(tmp_path, [1.0, math.inf, 0.0] * 4))


def test_a_last_column_without_a_name_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,\n" + "1,0,\n" * 9)

    with pytest.raises(DataError, match="the last column, without a name: row 1 is empty"):
        read(path)
