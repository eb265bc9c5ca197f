"""`result.json`: what it holds however a run ends, in JSON that every reader takes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hypersweep.contract import RESULT_LIMIT, TERMINATION_LIMIT
from hypersweep.runner import parse_result
from hypersweep_trainer.config import Config, Goal
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.result import Outcome, document, message, reading, rungs
from tests.trainer.runs import an_environment, left, rows, stop_after, train

DIVERGING = {
    "data": "diabetes", "optimizer": "sgd", "lr": 10, "norm": "none", "activation": "relu", "momentum": 0.99,
    "warmup": 0,
}  # fmt: skip
KEYS = {"status", "reason", "metrics", "steps", "resumedFrom", "checks", "resolved"}


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


def strictly(root: Path) -> list[Any]:
    """All documents that a trial left, by a reader that takes neither NaN nor infinity."""
    files = [*root.rglob("*.json"), *root.rglob("*.jsonl")]
    texts = [
        text
        for file in files
        for text in (file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()])
    ]
    return [json.loads(text, parse_constant=refuse) for text in texts]


def ended(how: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A run that ends so, in one attempt or two; the last one's number."""
    options = {"log_steps": 2, "checkpoint_seconds": 0, **(DIVERGING if how == "infeasible" else {})}
    if how in ("resumed", "failed"):
        train(an_environment(root, options), stop_after(13))
    if how == "failed":
        learn = Learner.learn

        def broken(self: Learner, *batch: Any) -> None:
            if self.step == 20:
                raise RuntimeError("a disk is full: " + "x" * 10**6)
            learn(self, *batch)

        monkeypatch.setattr(Learner, "learn", broken)
    attempt = int(how in ("resumed", "failed"))
    train(an_environment(root, options, attempt=attempt))
    return attempt


@pytest.mark.parametrize("how", ["done", "resumed", "infeasible", "failed"])
def test_a_result_holds_all_that_the_contract_names_however_a_run_ends(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = ended(how, tmp_path, monkeypatch)
    result = left(tmp_path, "result.json", attempt)
    measured = [row for number in range(attempt + 1) for row in rows(tmp_path, number) if "epoch" in row]

    assert len(strictly(tmp_path)) >= 4
    assert set(result) == KEYS
    assert {"resumed": "done"}.get(how, how) == result["status"]
    assert {"done": 27, "resumed": 27, "failed": 20}.get(how, result["steps"]) == result["steps"] > 0
    assert {"resumed": 13, "failed": 13}.get(how) == result["resumedFrom"]
    assert (how in ("infeasible", "failed")) == bool(result["reason"])
    assert "width" in result["resolved"]
    assert len(json.dumps(result, indent=1)) < RESULT_LIMIT
    assert (how == "infeasible") == (not result["metrics"])
    for name, found in result["metrics"].items():
        values = [row["metrics"][name] for row in measured]
        best = (max if name.endswith(("accuracy", "f1")) else min)(values)
        epoch = 1 + values.index(best)
        assert (values[-1], best, values[-1]) == (found["last"], found["best"], found["value"])
        assert (9 * epoch, epoch) == (found["bestStep"], found["bestEpoch"])
        assert ("standardError" in found) == (how in ("done", "resumed") and name != "train_loss")
    assert parse_result(result).metrics.keys() == result["metrics"].keys()


@pytest.mark.parametrize("letter", ["x", "я", "\U0001f600", '"'])
def test_a_long_reason_leaves_the_termination_message_whole(letter: str) -> None:
    checks = {"gap": {"verdict": "fail", "words": 9999 * letter}}
    outcome = replace(an_outcome("last"), status="infeasible", reason=9999 * letter, checks=checks)
    told = json.dumps(message(outcome))

    assert 1024 < len(told.encode()) < TERMINATION_LIMIT
    assert json.loads(told)["reason"].startswith(80 * letter)


def an_outcome(at: str, *losses: float, asked: str = "[]") -> Outcome:
    goal = json.dumps([{"metric": "val_loss", "goal": "minimize", "at": at}])
    config = Config.read({"HYPERSWEEP_OBJECTIVES": goal, "HYPERSWEEP_RUNGS": asked})
    found = [
        {"step": 5 * epoch, "epoch": epoch, "metrics": {"val_loss": loss}}
        for epoch, loss in enumerate(losses, 1)
    ]
    return Outcome(config, "done", 5 * len(losses), found)


@pytest.mark.parametrize(("at", "values"), [("last", [3, 1, 5]), ("best", [3, 1, 1]), ("mean:2", [3, 2, 3])])
def test_a_rung_holds_what_the_objective_was_by_then(at: str, values: list[float]) -> None:
    outcome = an_outcome(at, 3, 1, 5, asked="[1, 2, 3, 8]")

    assert dict(zip("123", values, strict=True)) == rungs(outcome.config, outcome.rows)
    assert values[-1] == document(outcome)["metrics"]["val_loss"]["value"]


def test_an_objective_is_read_in_its_own_direction() -> None:
    assert 5 == reading([3, 5, 1], Goal("accuracy", True, "best"))
    assert 1 == reading([3, 5, 1], Goal("loss", False, "best"))
    assert 3 == reading([3, 5, 1], Goal("loss", False, "mean:9"))
