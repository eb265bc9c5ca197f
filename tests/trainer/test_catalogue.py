"""The catalogue: what people tune, each row with options, a source and tests that exist; and its page."""

import ast
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from hypersweep_trainer.options import OPTIONS, PRESETS
from hypersweep_trainer.options.catalogue import BEYOND, CHECKS, ROWS, STRATEGIES, Row
from hypersweep_trainer.options.page import text

ROOT = Path(__file__).parents[2]
CHECKING = ROOT / "trainer/hypersweep_trainer/check"


@cache
def functions(file: str) -> set[str]:
    """The test functions of a file below tests/."""
    found = ast.walk(ast.parse((ROOT / "tests" / file).read_text()))
    return {
        node.name for node in found if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def number(row: Row) -> str:
    return str(row.number)


def test_every_row_stands_once_and_in_order() -> None:
    assert list(range(1, 93)) == [row.number for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=number)
def test_a_row_names_a_topic_options_and_a_source(row: Row) -> None:
    assert row.topic
    assert row.source
    assert row.options
    assert not set(row.options) - set(OPTIONS) - set(CHECKS) - set(STRATEGIES)


@pytest.mark.parametrize("row", ROWS, ids=number)
def test_a_row_is_held_by_tests_that_exist(row: Row) -> None:
    assert row.tests
    assert len(row.tests) == len(set(row.tests))
    for test in row.tests:
        file, _, name = test.partition("::")
        assert name in functions(file), test


def test_every_option_stands_in_a_row_or_beyond_them() -> None:
    in_rows = {name for row in ROWS for name in row.options}
    beyond = [name for names in BEYOND.values() for name in names]

    assert set(OPTIONS) == (in_rows | set(beyond)) & set(OPTIONS)
    assert set(OPTIONS) - in_rows == set(beyond)
    assert len(beyond) == len(set(beyond))


def test_every_check_and_strategy_stands_in_a_row() -> None:
    in_rows = {name for row in ROWS for name in row.options}

    assert set(CHECKS) | set(STRATEGIES) <= in_rows
    assert not (set(CHECKS) | set(STRATEGIES)) & set(OPTIONS)


def test_every_check_is_one_that_the_trainer_makes() -> None:
    code = "".join(path.read_text() for path in CHECKING.glob("*.py"))

    assert {name for name in CHECKS if f'"{name}"' in code or f'"{name}: ' in code} == set(CHECKS)


# -- the page


def test_the_page_is_up_to_date() -> None:
    """`python -m hypersweep_trainer.options.page > docs/hyperparameters.md` writes it anew."""
    assert text() == (ROOT / "docs/hyperparameters.md").read_text()


def test_the_page_says_everything_of_every_option_preset_and_row() -> None:
    page = text()
    for name, option in OPTIONS.items():
        row = next(line for line in page.splitlines() if f'<a name="option-{name}">' in line)
        for part in (option.meaning, option.hint, option.impact, option.unit, *map(str, option.values)):
            assert part in row
    for preset in PRESETS:
        assert f"`{preset}`" in page
    for row in ROWS:
        assert f"\n| {row.number} | {row.topic} | " in page


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = text()
    anchors = set(re.findall(r'<a name="([^"]+)">', page))
    anchors |= {
        line.removeprefix("## ").lower().replace(" ", "-") for line in page.splitlines() if line[:3] == "## "
    }
    links = re.findall(r"\]\(([^)]+)\)", page)

    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    for link in links:
        if not link.startswith(("#", "https://")):
            assert (ROOT / "docs" / link).exists(), link


def test_the_tables_of_the_page_have_as_many_cells_as_their_heads() -> None:
    lines = text().splitlines()
    for above, line in pairwise(lines):
        if above.startswith("|") and line.startswith("|"):
            cells = [re.split(r"(?<!\\)\|", row) for row in (above, line)]
            assert len(cells[0]) == len(cells[1]), line
