"""Runs that an error cuts short: what stays of them when memory is short, or own code asks for an end."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hypersweep_trainer.form import Form
from hypersweep_trainer.learner import Learner
from tests.trainer.runs import an_environment, left, message, rows, stop_after, train

GIVING_UP = "giving up"


class Quitter(nn.Sequential):
    """Asks for an end with `given` in its second step."""

    given: Any = GIVING_UP

    def __init__(self, form: Form) -> None:
        super().__init__(nn.Flatten(), nn.Linear(math.prod(form.shape), form.outputs))
        self._steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self._steps += torch.is_grad_enabled()
        if self._steps > 1:
            sys.exit(self.given)
        found: Tensor = super().forward(x)
        return found


def quitting(root: Path) -> dict[str, str]:
    options = {"data": "digits", "model": f"{__name__}:Quitter", "checks": "off", "epochs": 3}
    return an_environment(root) | {"HYPERSWEEP_TRAINER": json.dumps(options)}


@pytest.mark.parametrize(
    ("given", "how"),
    [
        (GIVING_UP, "asked to exit: giving up"),
        (3, "asked to exit with code 3"),
        (0, "asked to exit with code 0"),
        (None, "asked to exit with code 0"),
    ],
)
def test_own_code_that_asks_for_an_end_fails_in_words(
    given: Any, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Quitter, "given", given)

    assert 1 == train(quitting(tmp_path))
    result = left(tmp_path, "result.json")
    assert ("failed", f"rank 0: {how}", 1) == (result["status"], result["reason"], result["steps"])
    assert f"rank 0: {how}" == message(tmp_path)


def broken(error: Exception, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise it in the step that follows `at` others."""
    learn = Learner.learn

    def fails(self: Learner, rows: Tensor, share: slice) -> None:
        if self.step == at:
            raise error
        learn(self, rows, share)

    monkeypatch.setattr(Learner, "learn", fails)


def test_want_of_memory_leaves_all_that_is_known_of_the_run_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"lr": "auto", "epochs": 6, "checkpoint_seconds": 0}
    train(an_environment(tmp_path, options, HYPERSWEEP_CHECKS="all"), stop_after(13))
    broken(torch.OutOfMemoryError("CUDA out of memory"), 40, monkeypatch)

    assert 0 == train(an_environment(tmp_path, options, attempt=1, HYPERSWEEP_CHECKS="all"))
    result, told = left(tmp_path, "result.json", 1), json.loads(message(tmp_path))
    found = left(tmp_path, "resolved.json")["lr"]
    assert ("infeasible", "out of memory: CUDA out of memory") == (result["status"], result["reason"])
    assert (40, 13) == (result["steps"], result["resumedFrom"])
    assert found == result["resolved"]["lr"] == told["resolved"]["lr"]
    losses = [row["metrics"]["val_loss"] for attempt in range(2) for row in rows(tmp_path, attempt)]
    kept = result["metrics"]["val_loss"]
    assert (4, losses[-1], min(losses)) == (len(losses), kept["last"], kept["best"])
    assert {"first_loss", "overfit_small"} < result["checks"].keys()
    assert "" == told["checks"]


def test_an_error_leaves_what_want_of_memory_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = []
    for error in (MemoryError("no room"), ValueError("no luck")):
        with monkeypatch.context() as patch:
            broken(error, 10, patch)
            train(an_environment(tmp_path / type(error).__name__))
        documents.append(left(tmp_path / type(error).__name__, "result.json"))

    memory, failure = documents
    assert memory["checks"]
    assert {**failure, "status": "infeasible", "reason": "out of memory: no room"} == memory
