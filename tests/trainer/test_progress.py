"""Progress: where a trial stands, its value at each rung, and never more than a reader takes."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hypersweep import evidence
from hypersweep.contract import PROGRESS, PROGRESS_LIMIT
from hypersweep.store import open_store
from hypersweep_trainer.config import Config
from hypersweep_trainer.output import Report
from hypersweep_trainer.progress import document
from hypersweep_trainer.writer import Writer
from tests.trainer.runs import an_environment, left, rows, stop_after, train

BEST = json.dumps([{"metric": "val_loss", "goal": "minimize", "at": "best"}])


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer(print)
    yield writer
    writer.close()


def row(epoch: int, loss: float) -> dict[str, Any]:
    return {"step": 9 * epoch, "epoch": epoch, "time": 1.0, "metrics": {"val_loss": loss}, "run": {"lr": 0.1}}


def told(root: Path, writer: Writer) -> Any:
    """The document that lies in the store once all is written."""
    assert writer.drain()
    return json.loads((root / PROGRESS).read_text())


def a_config(**variables: str) -> Config:
    return Config.read({"HYPERSWEEP_OBJECTIVES": BEST, "HYPERSWEEP_RUNGS": "[1, 3, 9]", **variables})


def test_a_rung_is_told_at_once_and_other_epochs_every_ten_seconds(tmp_path: Path, writer: Writer) -> None:
    report = Report(open_store(str(tmp_path)), writer, None)
    report.settle(a_config())
    found = []
    for epoch, loss in enumerate((0.9, 0.5, 0.7, 0.4), 1):
        report.row(row(epoch, loss))
        found.append(told(tmp_path, writer))

    assert [9, 9, 27, 27] == [one["step"] for one in found]
    assert [1, 1, 3, 3] == [one["epoch"] for one in found]
    assert {"1": 0.9} == found[1]["rungs"]
    assert {"1": 0.9, "3": 0.5} == found[3]["rungs"]  # `at: best`
    assert {"val_loss": 0.7} == found[3]["metrics"]


def test_a_row_within_an_epoch_leaves_the_latest_values_of_the_last_one(
    tmp_path: Path, writer: Writer
) -> None:
    report = Report(open_store(str(tmp_path)), writer, None)
    report.settle(a_config())
    report.begin([row(1, 0.9), row(2, 0.8)], 20)
    report.row({"step": 22, "time": 2.0, "metrics": {"train_loss": 1.5}, "run": {"lr": 0.2}})

    assert {
        "step": 22,
        "epoch": 2,
        "time": 2.0,
        "metrics": {"val_loss": 0.8, "train_loss": 1.5},
        "rungs": {"1": 0.9},
        "run": {"lr": 0.2},
    } == told(tmp_path, writer)


def test_a_trial_without_metrics_yet_tells_how_far_it_is(
    tmp_path: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hypersweep_trainer.output.RHYTHM", -1.0)
    root = tmp_path / "trials/00000/attempts/0"
    Report(open_store(str(root)), writer, None).beat(5)

    assert writer.drain()
    found = evidence.progress(open_store(str(tmp_path)), (0, 0))
    assert (5, {}) == (found.step, found.metrics)


def test_a_resumed_trial_tells_the_rungs_before_it(tmp_path: Path) -> None:
    options: Mapping[str, Any] = {"epochs": 5, "checkpoint_seconds": 0}
    asked = {"HYPERSWEEP_OBJECTIVES": BEST, "HYPERSWEEP_RUNGS": "[1, 2, 4, 8]"}
    train(an_environment(tmp_path, options, **asked), stop_after(20))
    train(an_environment(tmp_path, options, attempt=1, **asked), stop_after(1))
    again = left(tmp_path, PROGRESS, 1)
    train(an_environment(tmp_path, options, attempt=2, **asked))
    losses = [one["metrics"]["val_loss"] for attempt in (0, 2) for one in rows(tmp_path, attempt)]

    assert (21, 2) == (again["step"], again["epoch"])
    assert {"1": losses[0], "2": min(losses[:2])} == again["rungs"]
    assert losses[1] == again["metrics"]["val_loss"]
    assert {**again["rungs"], "4": min(losses[:4])} == left(tmp_path, PROGRESS, 2)["rungs"]


def test_what_fits_is_told_as_a_whole() -> None:
    rungs = {"1": 0.5, "3": 0.25}
    latest = row(4, 0.2)

    assert {**latest, "rungs": rungs} == json.loads(document(latest, rungs, "val_loss"))
    assert ["1", "3"] == list(json.loads(document(latest, rungs))["rungs"])


@pytest.mark.parametrize("count", [50, 2000])
@pytest.mark.parametrize("length", [1, 60, 5000])
def test_progress_is_never_longer_than_its_reader_takes(count: int, length: int) -> None:
    metrics = {f"{number}{'ä' * length}": 1 / 3 for number in range(count)}
    rungs = {str(epoch): 1 / epoch for epoch in range(1, count + 1)}
    told = document({**row(4, 0.2), "metrics": {**metrics, "goal": 0.125}}, rungs, "goal")
    found = json.loads(told)

    assert len(told.encode()) <= PROGRESS_LIMIT
    assert 0.125 == found["metrics"]["goal"]
    assert rungs[str(count)] == found["rungs"][str(count)]
    assert list(map(int, found["rungs"])) == list(range(count - len(found["rungs"]) + 1, count + 1))
    assert len(found["rungs"]) >= min(count, 100)
