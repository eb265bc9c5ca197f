"""Rows and checkpoints: whenever a run dies, what its newest checkpoint stands on is in the store."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hypersweep.contract import METRICS, PROGRESS
from hypersweep.store import DirectoryStore, open_store
from hypersweep_trainer import loop
from hypersweep_trainer.output import Report
from hypersweep_trainer.writer import Writer
from tests.trainer.learning import OFF
from tests.trainer.runs import an_environment, curve, left, rows, stop_after, train


@pytest.fixture(autouse=True)
def _behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is slow: no row is written because its time has come."""
    monkeypatch.setattr(Writer, "idle", False)


def kill_copies(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What a kill would leave of an attempt as soon as each of its checkpoints is valid."""
    found: list[Path] = []
    write = DirectoryStore.write

    def writes(store: DirectoryStore, key: str, data: bytes) -> None:
        write(store, key, data)
        if "checkpoints/" in key and key.endswith(".json"):
            found.append(root.parent / f"killed-{len(found)}")
            shutil.copytree(root, found[-1])

    monkeypatch.setattr(DirectoryStore, "write", writes)
    return found


def step(root: Path) -> int:
    """That of the newest checkpoint."""
    newest = max((root / "attempts/0/checkpoints").glob("*.json"))
    return int(json.loads(newest.read_text())["step"])


@pytest.mark.parametrize(
    ("within", "stop"),
    [(60.0, None), (-1.0, None), (60.0, 13), (60.0, 18)],
    ids=["epochs", "within epochs", "stop", "stop at the end of an epoch"],
)
def test_no_row_is_lost_or_written_twice_by_a_kill_after_a_checkpoint(
    within: float, stop: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LONG", within)
    whole, options = tmp_path / "whole", {**OFF, "epochs": 6, "log_steps": 1, "save_model": False}
    train(an_environment(whole, options))
    with monkeypatch.context() as patch:
        copies = kill_copies(tmp_path / "first", patch)
        train(an_environment(tmp_path / "first", options), *([stop_after(stop)] if stop else []))

    assert stop is None or stop == step(copies[-1])
    for killed in {copies[0], copies[-1]}:
        train(an_environment(killed, options, attempt=1))
        assert step(killed) == left(killed, "result.json", 1)["resumedFrom"]
        assert curve(whole) == curve(killed, 0, 1)


def test_a_checkpoint_of_a_first_stage_brings_no_empty_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = kill_copies(tmp_path / "first", monkeypatch)
    train(an_environment(tmp_path / "first", {**OFF, "pretrain": "autoencoder", "pretrain_epochs": 1}))

    assert not (copies[0] / "attempts/0" / METRICS).exists()
    assert [9, 18, 27] == [row["step"] for row in rows(tmp_path / "first")]


def row(number: int) -> dict[str, Any]:
    return {"step": number, "time": 0.0, "metrics": {"train_loss": 1.0}}


def test_rows_are_kept_in_their_order_while_the_store_is_behind(tmp_path: Path) -> None:
    done: list[Callable[[], None]] = []

    class Behind(Writer):
        def put(self, write: Callable[[], None]) -> None:
            done.append(write)

    report = Report(open_store(str(tmp_path)), Behind(print), None)
    report.row(row(1))
    report.row(row(2))
    report.keep()
    report.keep()
    report.row(row(3))

    assert 2 == len(done)
    for write in done:
        write()
    lines = (tmp_path / METRICS / "000001.jsonl").read_text().splitlines()
    assert [1, 2] == [json.loads(line)["step"] for line in lines]
    assert 2 == json.loads((tmp_path / PROGRESS).read_text())["step"]
