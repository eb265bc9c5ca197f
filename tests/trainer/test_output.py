"""What rank 0 leaves beside its result: the end of its log, whatever letters stand there."""

import json
from pathlib import Path

import pytest

from hypersweep.contract import LOG, LOG_LIMIT, PROGRESS, RESULT
from hypersweep.store import open_store
from hypersweep_trainer import output
from hypersweep_trainer.config import Config
from hypersweep_trainer.output import Report
from hypersweep_trainer.result import Outcome
from hypersweep_trainer.writer import Writer

CONFIG = Config.read({"HYPERSWEEP_TRAINER": "{}"})


@pytest.mark.parametrize("letter", ["x", "я"])
def test_the_end_of_a_log_is_kept_within_its_limit(letter: str, tmp_path: Path) -> None:
    writer = Writer(print)
    report = Report(open_store(str(tmp_path)), writer, None)
    for number in range(100):
        report.say(f"{number} {letter * 1000}")
    report.fail("the last word")
    writer.close()
    log = (tmp_path / LOG).read_bytes()

    assert LOG_LIMIT - 4 < len(log) <= LOG_LIMIT
    assert log.decode().endswith(f"99 {letter * 1000}\nthe last word\n")


@pytest.mark.parametrize(
    ("saved", "earlier", "code", "end"),
    [
        (True, True, 75, ""),
        (False, True, 75, ", and the store has a checkpoint, if not of this step"),
        (False, False, 143, ", and nothing could be saved"),
    ],
)
def test_the_last_word_of_a_stopped_run_and_its_code_say_the_same(
    saved: bool, earlier: bool, code: int, end: str, tmp_path: Path
) -> None:
    writer = Writer(print)
    report = Report(open_store(str(tmp_path / "store")), writer, tmp_path / "termination")
    outcome = Outcome(CONFIG, "stopped", 4, reason="stopped on request after step 4", saved=saved)

    assert code == report.finish(outcome, lambda: earlier)
    writer.close()
    assert f"stopped on request after step 4{end}" == (tmp_path / "termination").read_text()


def test_a_failed_run_tells_its_last_step_and_nothing_of_a_first_stage(tmp_path: Path) -> None:
    writer = Writer(print)
    report = Report(open_store(str(tmp_path)), writer, None)
    report.beat(90)
    report.begin([], None)
    report.beat(1)
    report.beat(2)
    report.fail("a cosmic ray", CONFIG)
    writer.close()

    assert 2 == json.loads((tmp_path / RESULT).read_text())["steps"]
    assert 2 == json.loads((tmp_path / PROGRESS).read_text())["step"]


def test_a_stage_that_has_not_begun_shows_no_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "RHYTHM", 1000.0)
    writer = Writer(print)
    report = Report(open_store(str(tmp_path)), writer, None)
    report.beat(90)
    report.begin([], None)
    report.fail("a cosmic ray", CONFIG)
    writer.close()

    assert 0 == json.loads((tmp_path / RESULT).read_text())["steps"]
    assert not (tmp_path / PROGRESS).exists()
