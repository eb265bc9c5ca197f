"""CSV and Parquet files as others write them: broken lines, separators, encodings, types of text."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from hypersweep_trainer.data import table
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.options import OPTIONS

ROWS = "".join(f"{row},{row % 3}\n" for row in range(5000))
DECIMALS = "a;y\n0,126;0,5\n-0,132;-0,25\n"


def refusal(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as refused:
        table.columns(path, "csv")
    return str(refused.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"a,y\n{ROWS}1,2,3\n{ROWS}", "row 5001: Expected 2 columns, got 3: 1,2,3"),
        (f"a,y\n\n{ROWS}1\n{ROWS}", "row 5001: Expected 2 columns, got 1: 1"),
        ('a,y\n"1\n2",3\n4,5\n6\n', "row 3: Expected 2 columns, got 1: 6"),
    ],
)
def test_a_broken_line_is_told_by_its_row(tmp_path: Path, content: str, words: str) -> None:
    found = refusal(tmp_path / "rows.csv", content)

    assert f"cannot be read as csv: CSV parse error: {words}" == found


@pytest.mark.parametrize("content", [DECIMALS, DECIMALS.replace(";", "\t"), DECIMALS.replace(";", "|")])
def test_other_separators_than_commas_are_told_whatever_the_rows_hold(tmp_path: Path, content: str) -> None:
    header = content.splitlines()[0]

    assert f"commas must separate columns, but its header is {header!r}" == refusal(
        tmp_path / "rows.csv", content
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_encoding_is_told(tmp_path: Path, encoding: str) -> None:
    found = refusal(tmp_path / "rows.csv", f"a,y\n{ROWS}".encode(encoding))

    assert "must be UTF-8, but its header has zero bytes, as UTF-16 has" in found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("gr\xf6sse,y\n1,2\n".encode("latin-1"), r"its header must be UTF-8, but is b'gr\xf6sse,y'"),
        (b'"' + b"a" * 200_000, "cannot be read as csv: field larger than field limit"),
    ],
)
def test_a_header_that_is_none_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    assert refusal(tmp_path / "rows.csv", content).startswith(words)


@pytest.mark.parametrize("text", [(), ("a",)])
def test_a_cell_of_another_encoding_is_told_by_its_row(tmp_path: Path, text: tuple[str, ...]) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("a,y\nrot,1\ngr\xfcn,2\n".encode("latin-1"))

    with pytest.raises(DataError, match=r"column a: row 2 is .*, but text must be UTF-8"):
        table.columns(path, "csv", text)


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ('a,"b, c",d', ["a", "b, c", "d"]),
        ('a,"b ""c""",d', ["a", 'b "c"', "d"]),
        ('a,"b\nc",d', ["a", "b\nc", "d"]),
        ("\ufeffa,größe,", ["a", "größe", ""]),
        ("\n\na, b,c", ["a", " b", "c"]),
        ("a,b;c,d", ["a", "b;c", "d"]),
    ],
)
def test_names_of_columns_are_those_that_arrow_reads(tmp_path: Path, header: str, names: list[str]) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"{header}\n1,2,3\n", encoding="utf-8")

    assert names == table.names(path, "csv") == list(table.columns(path, "csv"))


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_on_any_machine(tmp_path: Path, ends: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(ends.join(["a,y", "1,2", "3,4", ""]).encode())

    assert {"a": [1.0, 3.0], "y": [2.0, 4.0]} == {
        name: cells.tolist() for name, cells in table.columns(path, "csv").items()
    }


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_text_of_every_type_is_text(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "rows.parquet"
    cells = pa.array(["x", None, "", "größe"])
    parquet.write_table(pa.table({"a": cells.cast(kind) if kind != cells.type else cells}), path)

    for text in ((), ("a",)):
        assert ["x", None, None, "größe"] == table.columns(path, "parquet", text)["a"].tolist()


def test_the_columns_of_a_folder_of_parquet_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for part in range(2):
        parquet.write_table(pa.table({"b": [part], "a": ["x"]}), tmp_path / "rows" / f"{part}.parquet")

    assert ["b", "a"] == table.names(tmp_path / "rows", "parquet")
    assert {"b": [0.0, 1.0], "a": ["x", "x"]} == {
        name: cells.tolist() for name, cells in table.columns(tmp_path / "rows", "parquet").items()
    }


def test_the_words_that_mean_an_empty_cell_are_documented(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    words = csv.ConvertOptions().null_values
    path.write_text("a,b\n" + "".join(f"{word},1\n" for word in [*words, "None", "x"]))

    assert [*[None] * len(words), "None", "x"] == table.columns(path, "csv")["a"].tolist()
    documented = OPTIONS["missing"].meaning.partition("holds nothing, ")[2].removesuffix(".")
    assert {*words} - {""} == {*documented.replace(" or ", ", ").split(", ")}
