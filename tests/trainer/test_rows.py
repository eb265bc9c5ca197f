"""Rows of metrics: one an epoch and more within it where asked for, of numbers alone."""

import json
from pathlib import Path

from tests.trainer.learning import OFF, same
from tests.trainer.runs import an_environment, curve, left, rows, train, weights


def test_rows_within_an_epoch_tell_how_the_run_goes(tmp_path: Path) -> None:
    train(an_environment(tmp_path, {**OFF, "log_steps": 4, "grad_clip": 1.0}))
    found = rows(tmp_path)
    within = [row for row in found if "epoch" not in row]

    assert [4, 8, 9, 12, 16, 18, 20, 24, 27] == [row["step"] for row in found]
    assert all({"train_loss"} == set(row["metrics"]) for row in within)
    assert all({"lr", "grad_norm", "samples_per_second"} <= set(row["run"]) for row in found)
    assert all(value > 0 for row in found for value in row["run"].values())
    assert found[0]["metrics"]["train_loss"] > found[-1]["metrics"]["train_loss"]
    progress = left(tmp_path, "progress.json")
    assert [27, 3] == [progress["step"], progress["epoch"]]
    assert found[-1]["metrics"] == progress["metrics"]


def test_the_last_step_of_an_epoch_has_one_row(tmp_path: Path) -> None:
    train(an_environment(tmp_path, {**OFF, "log_steps": 3}))

    assert [3, 6, 9, 12, 15, 18, 21, 24, 27] == [row["step"] for row in rows(tmp_path)]


def test_what_is_no_number_stays_out_of_rows(tmp_path: Path) -> None:
    options = {"data": "synthetic_curve", "synthetic_rows": 10_000, "optimizer": "sgd", "lr": 100.0}
    train(an_environment(tmp_path, {**options, "batch_size": 32, "log_steps": 1}))
    root = tmp_path / "attempts/0"
    documents = [root / "progress.json", root / "result.json", *root.glob("metrics/*.jsonl")]
    lines = [line for path in documents[2:] for line in path.read_text().splitlines()]
    found = [json.loads(text, parse_constant=no_number) for text in lines]
    for path in documents[:2]:
        json.loads(path.read_text(), parse_constant=no_number)

    assert "infeasible" == left(tmp_path, "result.json")["status"]
    assert {"train_loss"} == set(found[0]["metrics"])
    assert {} == found[-1]["metrics"]
    assert "grad_norm" not in found[-1]["run"]


def no_number(text: str) -> float:
    raise AssertionError(text)


def test_rows_within_an_epoch_change_nothing_else(tmp_path: Path) -> None:
    for name, steps in {"with": 2, "without": 0}.items():
        train(an_environment(tmp_path / name, {**OFF, "log_steps": steps}))

    assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))
    assert curve(tmp_path / "without") == [
        (row["step"], row["metrics"]) for row in rows(tmp_path / "with") if "epoch" in row
    ]
