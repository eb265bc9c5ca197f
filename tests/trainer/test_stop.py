"""SIGTERM before the first step: every rank ends with 75 at once, and the next attempt begins again."""

import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from hypersweep_trainer.stop import Stopped, aside, looking
from hypersweep_trainer.trial import idle
from tests.trainer.processes import a_port, children, wait
from tests.trainer.runs import an_environment, curve, left, message, start, train

OPTIONS = {"batch_size": "auto", "lr": "auto", "dropout": 0.2}
SOON = 60.0  # seconds on a busy machine; what is stopped would have gone on for ever

PROGRAM = """
import math, os, sys, time
from pathlib import Path
from hypersweep_trainer import automatic, check, train
from hypersweep_trainer.__main__ import main
from hypersweep_trainer.check import few
gradient = sys.modules["hypersweep_trainer.check.gradient"]

def begun():
    Path(os.environ["BEGUN"] + os.environ.get("HYPERSWEEP_LOCAL_RANK", "0")).touch()
{endless}
main()
"""
ENDLESS = {
    "others": """
from hypersweep_trainer import group
whole = group.Group
group.Group = lambda *given: begun() or whole(*given)
""",
    "data": """
train.load = lambda *_: (begun(), time.sleep(600))
""",
    "batch_size": """
def largest(fits, limit):
    while fits(1):
        begun()
automatic.largest_batch = largest
""",
    "lr": """
def rates(step):
    while True:
        step(1e-8)
        begun()
automatic.range_test = rates
""",
    "gradient": """
gradient.WEIGHTS, gradient.SECONDS = 10**9, 1e9
gradient._error = lambda *_: begun() or 0.0
""",
    "overfit_small": """
few.STEPS, few.SECONDS, few.CLOSE = 10**9, 1e9, -1.0
chance = few.chance
few.chance = lambda *given: begun() or chance(*given)
""",
    "regularisation": """
few.CLOSE, few.DRAWS = 1e9, 10**9
few._disturbed = lambda *_: begun() or math.nan
""",
}


def an_attempt(root: Path, attempt: int = 0, ranks: int = 1, **more: str) -> dict[str, str]:
    environment = an_environment(root, OPTIONS, attempt=attempt, ranks=ranks, PET_MASTER_PORT=a_port())
    return {**environment, "HYPERSWEEP_CHECKS": "all", "BEGUN": str(root / "begun"), **more}


def endless(environment: dict[str, str], stage: str) -> subprocess.Popen[bytes]:
    """A rank that never leaves this stage by itself."""
    return start(environment, "-c", PROGRAM.format(endless=ENDLESS[stage]))


def left_by(root: Path, attempt: int = 0) -> tuple[Any, Any]:
    return left(root, "result.json", attempt)["metrics"], curve(root, attempt)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    assert 0 == train(an_attempt(root))
    return root


@pytest.mark.parametrize("stage", [stage for stage in ENDLESS if stage != "others"])
def test_a_trial_that_is_asked_to_stop_before_its_first_step_ends_at_once_and_begins_again(
    stage: str, whole: Path, tmp_path: Path
) -> None:
    process = endless(an_attempt(tmp_path), stage)
    wait((tmp_path / "begun0").exists)
    process.send_signal(signal.SIGTERM)

    assert 75 == process.wait(timeout=SOON)
    assert "stopped on request before the first step" == message(tmp_path)
    assert not (tmp_path / "attempts/0/result.json").exists()
    assert 0 == train(an_attempt(tmp_path, attempt=1))
    assert left_by(whole) == left_by(tmp_path, 1)


@pytest.mark.parametrize(
    ("stage", "told"),
    [("data", [0]), ("lr", [0, 1]), ("overfit_small", [1])],
)
def test_where_a_rank_is_asked_to_stop_all_end_together(stage: str, told: list[int], tmp_path: Path) -> None:
    common = an_attempt(tmp_path, ranks=2)
    ranks = [endless(common | {"HYPERSWEEP_LOCAL_RANK": str(rank)}, stage) for rank in range(2)]
    wait((tmp_path / "begun0").exists)
    for rank in told:
        ranks[rank].send_signal(signal.SIGTERM)

    assert [75, 75] == [rank.wait(timeout=SOON) for rank in ranks]
    assert "stopped on request before the first step" == message(tmp_path)


def test_ranks_that_were_stopped_begin_again_as_if_nothing_had_happened(tmp_path: Path) -> None:
    common = an_attempt(tmp_path / "broken", ranks=2)
    ranks = [endless(common | {"HYPERSWEEP_LOCAL_RANK": str(rank)}, "gradient") for rank in range(2)]
    undisturbed = start(an_attempt(tmp_path / "whole", ranks=2))
    wait((tmp_path / "broken/begun0").exists)
    for rank in ranks:
        rank.send_signal(signal.SIGTERM)

    assert [75, 75] == [rank.wait(timeout=SOON) for rank in ranks]
    assert 0 == start(an_attempt(tmp_path / "broken", attempt=1, ranks=2)).wait(timeout=120)
    assert 0 == undisturbed.wait(timeout=120)
    assert left(tmp_path / "broken", "resolved.json") == left(tmp_path / "broken", "resolved.json", 1)
    assert left_by(tmp_path / "whole") == left_by(tmp_path / "broken", 1)


def test_ranks_that_have_only_just_been_started_can_be_stopped(tmp_path: Path) -> None:
    process = start(an_attempt(tmp_path, ranks=2))
    wait(lambda: len(children(process.pid)) == 2)
    process.send_signal(signal.SIGTERM)

    assert 75 == process.wait(timeout=SOON)


def test_a_rank_that_waits_for_the_others_can_be_stopped(tmp_path: Path) -> None:
    process = endless(an_attempt(tmp_path, ranks=2, HYPERSWEEP_LOCAL_RANK="0"), "others")
    wait((tmp_path / "begun0").exists)
    process.send_signal(signal.SIGTERM)

    assert 75 == process.wait(timeout=SOON)
    assert "stopped on request before the first step" == message(tmp_path)


def test_a_batch_that_was_found_is_not_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tmp_path / "attempts/0/resolved.json"

    def endless(step: Any) -> None:
        while True:
            step(1e-8)

    def again(*_: Any) -> None:
        raise AssertionError("it is known already")

    with monkeypatch.context() as patch:
        patch.setattr("hypersweep_trainer.automatic.range_test", endless)
        assert 75 == train(an_attempt(tmp_path), found.exists)
    monkeypatch.setattr("hypersweep_trainer.automatic.largest_batch", again)

    assert {"batch_size": 1024} == left(tmp_path, "resolved.json")
    assert 0 == train(an_attempt(tmp_path, attempt=1))
    assert 1024 == left(tmp_path, "result.json", 1)["resolved"]["batch_size"]


def test_work_that_is_left_to_itself_keeps_nobody_but_is_known() -> None:
    over, asked = threading.Event(), iter([False, False, True])

    with pytest.raises(Stopped):
        aside(over.wait, looking(lambda: next(asked)))
    assert not over.is_set()
    assert not idle()
    over.set()
    wait(idle)


def test_an_error_counts_unless_somebody_asked_to_stop() -> None:
    with pytest.raises(ZeroDivisionError):
        aside(lambda: 1 / 0, looking(lambda: False))
    with pytest.raises(Stopped):
        aside(lambda: 1 / 0, looking(lambda: True))
