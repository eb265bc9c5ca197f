"""Which model somebody means who names a folder: what cannot be read beside it is no hindrance."""

import json
from pathlib import Path

import pytest

from hypersweep.contract import BEST
from hypersweep.store import StoreError
from hypersweep.trained import located

PREFIX = "trials/00001/attempts/0/model"


def a_sweep(root: Path) -> Path:
    """The folder of a sweep that names a model as its best."""
    for folder in ("journal", "model", PREFIX):
        (root / folder).mkdir(parents=True)
    (root / "journal/000000.jsonl").write_text("{}\n")
    (root / BEST).write_text(json.dumps({"trial": 1, "attempt": 0, "prefix": PREFIX, "metrics": {}}))
    return root


def a_closed_folder(root: Path) -> None:
    """One that even root cannot read: a link in it leads to itself."""
    root.mkdir(parents=True)
    (root / "journal").symlink_to("journal")


@pytest.mark.parametrize("sweep", ["digits", "team/digits"])
def test_a_folder_that_cannot_be_read_beside_a_sweep_is_passed_over_and_said(
    sweep: str, tmp_path: Path
) -> None:
    a_sweep(tmp_path / sweep)
    a_closed_folder(tmp_path / "another")
    a_closed_folder(tmp_path / "team/lost")
    said: list[str] = []

    assert f"{tmp_path}/{sweep}/{PREFIX}" == located(str(tmp_path), said.append)
    assert [f"{tmp_path}: passed over what cannot be read: another, team/lost"] == said


def test_what_is_no_folder_beside_a_sweep_does_not_matter(tmp_path: Path) -> None:
    a_sweep(tmp_path / "digits")
    (tmp_path / "all").symlink_to("all")
    (tmp_path / "away").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("of mine")
    said: list[str] = []

    assert f"{tmp_path}/digits/{PREFIX}" == located(str(tmp_path), said.append)
    assert [] == said


def test_where_no_sweep_can_be_read_it_is_told_what_cannot(tmp_path: Path) -> None:
    for number in range(7):
        a_closed_folder(tmp_path / f"lost-{number}")
    names = ", ".join(f"lost-{number}" for number in range(5))

    with pytest.raises(
        ValueError, match=rf"there is none of these, as far as it can be read: {names}, … cannot$"
    ):
        located(str(tmp_path), pytest.fail)


def test_a_folder_that_itself_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "all").symlink_to("all")

    with pytest.raises(StoreError, match="Too many levels of symbolic links"):
        located(f"{tmp_path}/all", pytest.fail)
