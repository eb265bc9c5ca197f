"""Tables in files: what they hold, and what is wrong with them in one sentence."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from pyarrow import parquet

from hypersweep_trainer.config import Config, ConfigError
from hypersweep_trainer.data import Data, encode, label, load, table
from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.options import Options

CPU = torch.device("cpu")
PEOPLE = (
    "name,age,town,member,born,class\n"
    "ann,31,Bonn,true,1990-01-02,yes\n"
    "bob,,Köln,false,1991-05-06,no\n"
    '"x, y",4.5,,true,,yes\n'
)

Columns = Mapping[str, NDArray[Any]]


def a_csv(folder: Path, text: str) -> Options:
    path = folder / "rows.csv"
    path.write_text(text, encoding="utf-8")
    return Options(data=str(path), format="csv", task="tabular", target="classification")


def read(options: Options) -> Raw:
    return table.read(Path(options.data), options.format, options)


def cells(column: NDArray[Any]) -> list[Any]:
    """Cells of a column, None where one is empty."""
    empty = label.empty(column)
    return [None if gap else cell for cell, gap in zip(column.tolist(), empty, strict=True)]


def loaded(options: Options, **more: Any) -> Data:
    given = {"data": options.data, "target": options.target, **more}
    return load(Config.read({"HYPERSWEEP_TRAINER": json.dumps(given)}), CPU)


def test_a_csv_file_holds_numbers_text_truth_values_and_dates(tmp_path: Path) -> None:
    raw = read(a_csv(tmp_path, PEOPLE))
    assert raw.columns is not None

    assert {
        "name": ["ann", "bob", "x, y"],
        "age": [31.0, None, 4.5],
        "town": ["Bonn", "Köln", None],
        "member": [1.0, 0.0, 1.0],
        "born": [7306.0, 7795.0, None],  # days since 1970
    } == {name: cells(column) for name, column in raw.columns.items()}
    assert ("no", "yes") == raw.names
    assert [1, 0, 1] == raw.labels.tolist()
    assert ("tabular", "classification") == (raw.task, raw.target)


@pytest.mark.parametrize(
    ("born", "words"),
    [
        ("1990-01-02 soon 1991-05-06", "row 2 is 'soon', but the model needs dates"),
        ("1990-01-02 5 1991-05-06", "row 2 is '5', but the model needs dates"),
        ("7306 7795 1991-05-06", "row 3 is '1991-05-06', but the model needs numbers"),
        ("true false maybe", "row 3 is 'maybe', but the model needs truth values"),
        ("soon later 7306", "row 1 is 'soon', but the model needs numbers"),
        ("soon later never", "row 1 is 'soon', .* numbers, dates or truth values, whichever training had"),
    ],
)
def test_the_cell_is_told_that_makes_text_of_a_column_of_numbers_or_dates(
    tmp_path: Path, born: str, words: str
) -> None:
    raw = read(a_csv(tmp_path, "born,class\n1990-01-02,a\n1991-05-06,b\n1992-07-08,a\n"))
    assert raw.columns is not None
    encoder = encode.fit(raw.columns, raw.labels, Options())
    (tmp_path / "new.csv").write_text("\n".join(["born", *born.split()]))

    with pytest.raises(DataError, match=f"^column born: {words}$"):
        encoder.rows(table.columns(tmp_path / "new.csv", "csv"))


def test_features_label_and_categories_are_chosen_by_name(tmp_path: Path) -> None:
    options = a_csv(tmp_path, "zip,rooms,price,code\n00123,2,10.5,1\n123,3,-4,\n0099,1,7,2\n")
    chosen = replace(
        options, label="price", target="regression", features=("code", "zip"), categorical=("zip", "code")
    )
    raw = read(chosen)
    assert raw.columns is not None

    assert {"code": ["1", None, "2"], "zip": ["00123", "123", "0099"]} == {
        name: cells(column) for name, column in raw.columns.items()
    }
    assert [10.5, -4.0, 7.0] == raw.labels.tolist()
    assert {"label": "price"} == raw.about


def test_a_parquet_file_is_read_as_the_csv_file_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    days = [datetime.date(1990, 1, 2), datetime.date(1991, 5, 6), None]
    columns = {
        "name": pa.array(["ann", "bob", "x, y"], pa.large_string()),
        "age": pa.array([31, None, 4.5], pa.float32()),
        "town": pa.array(["Bonn", "Köln", ""]).dictionary_encode(),
        "member": [True, False, True],
        "born": pa.array(days, pa.date32()),
        "class": ["yes", "no", "yes"],
    }
    parquet.write_table(pa.table(columns), path)
    one = read(a_csv(tmp_path, PEOPLE))
    other = read(Options(data=str(path), format="parquet", task="tabular", target="classification"))

    assert one.digest == other.digest
    assert one.names == other.names


def test_columns_that_nobody_asks_for_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"x": [1.0, 2.0], "lists": [[1], [2]]}), path)

    assert {"x": [1.0, 2.0]} == {
        name: column.tolist() for name, column in table.columns(path, "parquet", only={"x", "z"}).items()
    }


def test_whole_numbers_named_as_categories_keep_all_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    account = 2**60 + 1
    parquet.write_table(pa.table({"account": [account, account + 1, None], "rate": [1.0, 2.5, None]}), path)
    found = table.columns(path, "parquet", ("account", "rate"))

    assert [str(account), str(account + 1), None] == found["account"].tolist()
    assert ["1", "2.5", None] == found["rate"].tolist()


def test_a_column_changes_its_type_with_its_last_row(tmp_path: Path) -> None:
    """A column's type is that of all its cells, however far into a large file the odd one stands."""
    numbers = "\n".join(["1,2"] * 400_000)
    raw = read(a_csv(tmp_path, f"a,b\n{numbers}\nx,3\n"))
    assert raw.columns is not None

    assert ["1", "x"] == raw.columns["a"][[0, -1]].tolist()
    assert 400_001 == len(raw.labels)


def test_reconstruction_learns_from_all_columns(tmp_path: Path) -> None:
    raw = read(replace(a_csv(tmp_path, PEOPLE), target="reconstruction"))

    assert "class" in (raw.columns or {})
    assert [0, 0, 0] == raw.labels.tolist()


def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    raw = read(a_csv(tmp_path, "x,y\n1,10\n2,9\n3,10\n4,-1\n"))

    assert ("-1", "9", "10") == raw.names
    assert [2, 1, 2, 0] == raw.labels.tolist()


def test_the_digest_tells_of_every_cell(tmp_path: Path) -> None:
    texts = (PEOPLE, PEOPLE.replace("31", "32"), PEOPLE.replace("Bonn", "Ulm"), PEOPLE.replace("yes", "yep"))
    digests = [read(a_csv(tmp_path, text)).digest for text in texts]

    assert 4 == len(set(digests))
    assert digests[0] == read(a_csv(tmp_path, PEOPLE)).digest


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, r"rows\.csv: cannot be read as csv: Empty CSV file"),
        ("a,b\n", {}, r"rows\.csv: must hold rows, but has none"),
        ("a,b\n1,2\n1,2,3\n", {}, r"rows\.csv: cannot be read as csv: .*Expected 2 columns, got 3"),
        ("a,a\n1,2\n", {}, r"rows\.csv: column names must differ, but a stands there twice"),
        ("a\nx\n", {}, r"rows\.csv: must hold a column beside the label a"),
        (PEOPLE, {"label": "clas"}, r"there is no column clas among name, age, .*; did you mean class\?"),
        (PEOPLE, {"features": ("age", "hight")}, "there is no column hight among name, age"),
        (PEOPLE, {"categorical": ("zip",)}, "there is no column zip among"),
        (PEOPLE, {"features": ("age", "class")}, "features must not hold the label, but both name class"),
        ("x,y\n1,a\n2,\n", {}, "column y: row 2 is empty, but each row needs a class"),
        ("x,y\n1,1\n2,inf\n", {}, "column y: row 2 is infinite, but each row needs a class"),
        ("x,y\n1,1\n2,\n", {"target": "regression"}, "y: row 2 is empty, but each row needs a finite number"),
        ("x,y\n1,1\n2,-inf\n", {"target": "regression"}, "y: row 2 is infinite, but each row needs a finite"),
        ("x,y\n1,1\n2,3\n3,4,\n", {"target": "regression"}, "cannot be read as csv"),
        ("x,y\n1,1\n2,3 m\n", {"target": "regression"}, "column y: row 2 is '3 m', but a regression needs"),
        (
            "x,y\n" + "".join(f"1,{number / 8}\n" for number in range(300)), {},
            "column y: holds 300 different numbers in 300 rows: too many classes; "
            "where the number itself is to be predicted, set target: regression",
        ),
        (
            "x,y\n" + "".join(f"1,{number // 3}\n" for number in range(90)), {},
            "holds 30 different numbers in 90 rows: too many classes",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_csv_file_is_told_in_a_sentence(
    tmp_path: Path, text: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        read(replace(a_csv(tmp_path, text), **options))


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("x,y\n1,a\n2,a\n3,b\n", {}, r"class 'b' has one row \(row 3\), but needs 2 to be in training"),
        ("x,y\n1,a\n2,a\n3,a\n", {}, "all rows are of class 'a', but at least two classes are needed"),
        ("x,z,y\n,1,a\n,2,b\n,3,a\n,4,b\n", {}, "column x: all its cells are empty; leave it out"),
        ("x,y\n1,a\ninf,b\n3,a\n4,b\n", {}, "column x: row 2 is infinite, but numbers must be finite"),
        ("x,y\n1,a\n,b\n3,a\n4,b\n", {"missing": "refuse"}, "x: row 2 is empty, and missing is refuse"),
        ("x,y\n1,0\n2,1\n3,-1\n", {"target": "regression", "target_norm": "log"},
         "the target of row 3 is -1, but target_norm log needs all above -1"),
        ("x,y\n1,0\n2,-2\n3,4\n", {"target": "regression", "target_norm": "none", "loss": "msle"},
         "the target of row 2 is -2, but loss msle needs all above -1"),
    ],
)  # fmt: skip
def test_rows_that_training_cannot_use_are_told_in_a_sentence(
    tmp_path: Path, text: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        loaded(a_csv(tmp_path, text), **options)


def test_a_class_of_one_row_is_accepted_where_nothing_is_stratified(tmp_path: Path) -> None:
    data = loaded(a_csv(tmp_path, "x,y\n1,a\n2,a\n3,b\n4,a\n5,a\n"), stratify=False)

    assert 2 == data.form.outputs


def test_a_class_without_rows_is_refused() -> None:
    raw = Raw("image", "classification", np.array([0, 0, 2, 2]), "", ("cat", "dog", "eel"))

    with pytest.raises(DataError, match=r"^animals/: class 'dog' has no rows, but at least 2 are needed"):
        label.check(raw, Options(data="animals/", target="classification"))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv"):
        loaded(replace(a_csv(tmp_path, PEOPLE), data=str(tmp_path / "gone.csv")))


def test_a_parquet_file_of_lists_or_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"x": [[1, 2], [3]], "y": [1, 2]}), path)
    with pytest.raises(
        DataError, match="column x: must hold numbers, text, dates or truth values, but holds list"
    ):
        table.columns(path, "parquet")
    path.write_text("no")
    with pytest.raises(DataError, match=r"rows\.parquet: cannot be read as parquet"):
        table.columns(path, "parquet")


def test_a_csv_file_is_learned_from_with_its_categories_and_gaps(tmp_path: Path) -> None:
    lines = [f"{row},{row % 7 or ''},{'abc'[row % 3]},{'no' if row % 2 else 'yes'}" for row in range(60)]
    data = loaded(a_csv(tmp_path, "\n".join(["u,v,w,class", *lines])))

    assert {
        "task": "tabular", "target": "classification", "categories": "some", "numbers": "some",
        "gaps": "some", "length": "free", "classes": 2,
    } == data.facts  # fmt: skip
    assert ((3,), 2, 2, (4,)) == (
        data.form.shape,
        data.form.outputs,
        data.form.numbers,
        data.form.categories,
    )
    assert ["no", "yes"] == data.encoding["names"]
    assert "class" == data.encoding["label"]


def test_a_table_without_numbers_refuses_their_encoder(tmp_path: Path) -> None:
    lines = [f"{'ab'[row % 2]},{'cde'[row % 3]}" for row in range(60)]
    given = {"data": a_csv(tmp_path, "\n".join(["u,class", *lines])).data, "num_encoder": "quantile"}
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps(given)})

    with pytest.raises(ConfigError, match=r"^num_encoder: needs data with columns of numbers, but"):
        config.told(load(config, CPU).facts)
