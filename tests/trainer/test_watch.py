"""Trouble within an epoch: it is found after some steps, the same steps whatever happened on the way."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from hypersweep_trainer.check.watch import Watch
from hypersweep_trainer.rank import Alone
from tests.trainer.processes import a_port
from tests.trainer.runs import an_environment, checkpoints, left, start, stop_after, train

CPU = torch.device("cpu")
FIRST = 2.0  # the loss before the first step
CURVE = {
    "data": "synthetic_curve", "synthetic_rows": 20_000, "optimizer": "sgd", "schedule": "constant",
    "warmup": 0.0, "batch_size": 32, "momentum": 0.9,
}  # fmt: skip
EXPLODES = {**CURVE, "lr": 100.0}
DIVERGES = {**CURVE, "loss": "mae", "lr": 10.0}


def found(means: Sequence[float], rows: int = 32, *, before: int = 0, stop: int = 0) -> tuple[int, str]:
    """At which step of an epoch of steps with these mean losses a watch says what; resumed after `stop`."""
    watch = Watch(Alone(CPU), FIRST)
    watch.renew(1 + bool(before), before)
    total = torch.zeros((), dtype=torch.float64)
    for step, mean in enumerate(means, 1):
        total += mean * rows
        if words := watch.look(total, step, step * rows):
            return step, words
        if step == stop:
            state = json.loads(json.dumps(watch.state(), allow_nan=True))
            watch = Watch(Alone(CPU), FIRST)
            watch.restore(state)
    return 0, ""


def test_a_loss_that_is_no_number_is_found_within_the_epoch() -> None:
    for wrong in (math.nan, math.inf):
        means = [1.0] * 30 + [wrong] + [1.0] * 400

        assert (60, "train_loss is not finite after step 50 (epoch 1)") == found(means)
        assert (60, "train_loss is not finite after step 1050 (epoch 2)") == found(means, before=1000)


def test_losses_above_those_of_the_start_are_found_when_they_stay() -> None:
    means = [1.0] * 100 + [3.1] * 200

    assert (210, "diverged: train_loss is 3.1 after step 200 (epoch 1), and was 2 before the first") == found(
        means
    )
    assert (0, "") == found([2.9] * 400)
    assert (0, "") == found([1.0] * 100 + [3.1] * 50 + [1.0] * 50 + [3.1] * 50 + [1.0] * 50)


def test_the_first_steps_of_a_run_may_go_wrong() -> None:
    assert (0, "") == found([9.0] * 50 + [1.0] * 300)
    assert 110 == found([9.0] * 400, before=50)[0]


def test_few_rows_say_nothing_of_a_divergence() -> None:
    outlier = [1.0] * 2000 + [1e4] + [1.0] * 2000  # one row in a thousand holds most of the loss

    assert (0, "") == found(outlier, rows=1)
    assert 50 + 2 * 1050 + 10 == found([9.0] * 4000, rows=1)[0]


@pytest.mark.parametrize("stop", [1, 49, 50, 55, 60, 99, 100, 105, 110, 149, 150, 159, 201, 209])
def test_a_watch_goes_on_as_if_nothing_had_happened(stop: int) -> None:
    means = [1.0] * 60 + [5.0] * 300

    assert found(means) == found(means, stop=stop)
    assert found([math.nan] * 300) == found([math.nan] * 300, stop=min(stop, 59))


@pytest.mark.parametrize(
    ("options", "steps", "reason"),
    [
        (EXPLODES, 60, "train_loss is not finite after step 50 (epoch 1)"),
        (DIVERGES, 160, "diverged: train_loss is "),
    ],
)
def test_a_run_in_trouble_ends_within_its_epoch_and_so_does_its_resumption(
    options: dict[str, object], steps: int, reason: str, tmp_path: Path
) -> None:
    assert 0 == train(an_environment(tmp_path / "whole", options))
    whole = left(tmp_path / "whole", "result.json")

    assert ("infeasible", steps) == (whole["status"], whole["steps"])
    assert whole["reason"].startswith(reason)
    assert "hint" == whole["checks"]["diverged"]["verdict"]
    for stop in (7, 50, 55):
        root = tmp_path / str(stop)
        assert 75 == train(an_environment(root, options), stop_after(stop))
        assert stop == json.loads(checkpoints(root)[-1].read_text())["step"]
        assert 0 == train(an_environment(root, options, attempt=1))
        again = left(root, "result.json", 1)
        assert (whole["steps"], whole["reason"]) == (again["steps"], again["reason"])


def test_what_goes_wrong_on_one_rank_ends_all_of_them_at_one_step(tmp_path: Path) -> None:
    break_one = """
import math
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.__main__ import main
learn = Learner.learn
def fails(self, rows, share):
    learn(self, rows, share)
    if self._ranks.rank == 1 and self.step == 70:
        self.losses.fill_(math.nan)
Learner.learn = fails
main()
"""
    environment = an_environment(tmp_path, {**CURVE, "lr": 1e-3}, ranks=2, PET_MASTER_PORT=a_port())
    ranks = [start(environment | {"HYPERSWEEP_LOCAL_RANK": str(rank)}, "-c", break_one) for rank in range(2)]

    assert [0, 0] == [rank.wait(timeout=120) for rank in ranks]
    result = left(tmp_path, "result.json")
    assert ("infeasible", 110) == (result["status"], result["steps"])
    assert "train_loss is not finite after step 100 (epoch 1)" == result["reason"]
