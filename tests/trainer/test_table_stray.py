"""Single cells that make text of a column of numbers or dates: refused where that is sure, told otherwise."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from hypersweep_trainer.data import stray
from tests.trainer.runs import an_environment, message, train

NUMBERS = [repr(number) for number in np.random.default_rng(0).normal(size=600).tolist()]
DATES = [str(date(1990, 1, 1) + timedelta(row)) for row in range(600)]
AGES = [str(17 + row % 60) for row in range(6000)]


def a_csv(folder: Path, cells: list[str]) -> Path:
    path = folder / "rows.csv"
    lines = [f"{cell},{'pq'[row % 2]}" for row, cell in enumerate(cells)]
    path.write_text("\n".join(["a,y", *lines]))
    return path


def mixed(cells: list[str], *words: str, first: int = 4, every: int = 7) -> list[str]:
    """Cells of which some are words, the first in a row counted from 1."""
    found = list(cells)
    for number, word in enumerate(words):
        found[first - 1 + number * every] = word
    return found


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (mixed(NUMBERS, "?"), "row 4 is '?', but 599 others are numbers: leave that cell empty"),
        (mixed(NUMBERS, "none"), "row 4 is 'none', but 599 others are numbers: leave that cell empty"),
        (
            mixed(NUMBERS, "1,012", "x", "x"),
            "row 4 is '1,012', but 597 others are numbers: leave that cell and 2 more of its kind empty",
        ),
        (mixed(DATES, "soon"), "row 4 is 'soon', but 599 others are dates: leave that cell empty"),
        (mixed(DATES, "7306"), "row 4 is '7306', but 599 others are dates: leave that cell empty"),
        (mixed(AGES, "?"), "row 4 is '?', but 5999 others are numbers: leave that cell empty"),
        (
            mixed(NUMBERS, *["-"] * 200, every=2),
            "row 4 is '-', but 400 others are numbers: leave that cell and 199 more of its kind empty",
        ),
    ],
)
def test_a_column_of_numbers_or_dates_with_a_stray_cell_is_refused(
    tmp_path: Path, cells: list[str], words: str
) -> None:
    path = a_csv(tmp_path, [f'"{cell}"' if "," in cell else cell for cell in cells])

    assert 78 == train(an_environment(tmp_path, {"data": str(path)}))
    assert message(tmp_path) == f"{path}, column a: {words}, or name the column in `categorical`"


@pytest.mark.parametrize("options", [{"categorical": ["a"]}, {"features": ["b"]}])
def test_a_column_that_is_named_or_left_out_may_hold_anything(
    tmp_path: Path, options: dict[str, list[str]]
) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"{cell},{row},{'pq'[row % 2]}" for row, cell in enumerate(mixed(NUMBERS, "?"))]
    path.write_text("\n".join(["a,b,y", *lines]))

    assert 0 == train(an_environment(tmp_path, {"data": str(path), "epochs": 1, **options}))


TEXTS = {
    "words": ["red", "green", "blue"] * 100,
    "grades": mixed(["1", "2", "3", "4", "5"] * 100, "A"),
    "few numbers and a sign": mixed([str(row % 20) for row in range(400)], "?"),
    "numbers alone": NUMBERS,
    "postal codes with zeros": mixed([f"{row:05}" for row in range(600)], "K1A 0B1"),
    "tickets": [f"PC {row}" if row % 4 == 0 else str(row) for row in range(600)],
    "numbers with underscores": [f"{row}_{row % 9}" for row in range(600)],
    "every other cell is odd": ["?" if row % 4 else str(row) for row in range(600)],
    "numbers of houses": [f"{row}a" if row % 8 == 0 else str(row) for row in range(600)],
}


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_is_strange_in_text(name: str) -> None:
    assert stray.found(np.array([*TEXTS[name], None], object)) is None


def test_an_empty_cell_is_not_strange() -> None:
    found = stray.found(np.array([None, *mixed(NUMBERS, "None")], object))

    assert found is not None
    assert ("None", 5, 1, 599) == (found.word, found.row, found.count, found.others)


CODES = {
    "bus lines": mixed(AGES, "N1", "N2", "X5"),
    "diagnoses": [*[f"{250 + row % 90}.{row % 7}" for row in range(950)], *[f"V{row}" for row in range(70)]],
}


@pytest.mark.parametrize("name", CODES)
def test_codes_that_are_mostly_numbers_are_told_and_no_error(name: str) -> None:
    found = stray.found(np.array(CODES[name], object))

    assert found is not None
    assert not found.sure


def test_a_trial_says_which_column_of_numbers_it_takes_for_categories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_csv(tmp_path, mixed(AGES[:900], "N1"))

    assert 0 == train(an_environment(tmp_path, {"data": str(path), "epochs": 1}))
    assert (
        f"{path}, column a: row 4 is 'N1', but 899 others are numbers: all its cells are taken for categories"
        in capsys.readouterr().out
    )
