"""`parameters()` and `report()`: all that a training script of one's own needs, without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hypersweep.runner import parse_message
from hypersweep_trainer import script
from tests.trainer.runs import rows

SCRIPT = """
import sys
from hypersweep_trainer import parameters, report
lr = parameters()["lr"]
for step in range(1, 4):
    report(step, loss=lr / step)
report(3, accuracy=0.5)
assert not {"torch", "numpy", "boto3", "pydantic"} & set(sys.modules), sorted(sys.modules)
"""


def environment(root: Path, **variables: str) -> dict[str, str]:
    return {
        "HYPERSWEEP_PARAMETERS": '{"lr": 0.5, "layers": [1, 2], "name": "x"}',
        "HYPERSWEEP_STORE": str(root / "attempts/0"),
        "HYPERSWEEP_TERMINATION_LOG": str(root / "termination"),
        **variables,
    }


def run(root: Path, code: str = SCRIPT, **variables: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, **environment(root, **variables)}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def no_reporter_of_another_test() -> None:
    script._reporter.cache_clear()


def test_a_script_reports_without_importing_torch(tmp_path: Path) -> None:
    ended = run(tmp_path)

    assert (0, "") == (ended.returncode, ended.stderr)
    assert {"loss": 0.5 / 3, "accuracy": 0.5} == json.loads((tmp_path / "termination").read_text())
    assert [1, 2, 3, 3] == [row["step"] for row in rows(tmp_path)]
    assert {"loss": 0.25} == rows(tmp_path)[1]["metrics"]
    assert {"loss": 0.5 / 3, "accuracy": 0.5} == json.loads(
        (tmp_path / "attempts/0/progress.json").read_text()
    )["metrics"]
    assert not (tmp_path / "attempts/0/result.json").exists()


def test_parameters_keep_their_types_and_are_empty_outside_of_a_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HYPERSWEEP_PARAMETERS", '{"lr": 0.5, "n": 2, "layers": [1, 2], "name": "x"}')

    assert {"lr": 0.5, "n": 2, "layers": [1, 2], "name": "x"} == script.parameters()
    monkeypatch.delenv("HYPERSWEEP_PARAMETERS")
    assert {} == script.parameters()


def test_a_value_that_is_no_number_reaches_the_operator_as_such(tmp_path: Path) -> None:
    run(tmp_path, "from hypersweep_trainer import report; report(1, loss=float('nan'), other=1)")

    found = parse_message(json.loads((tmp_path / "termination").read_text())).metrics
    assert "nan" == str(found["loss"].value)
    assert 1 == found["other"].value


@pytest.mark.parametrize("variable", ["RANK", "PET_NODE_RANK"])
def test_the_first_rank_alone_reports(tmp_path: Path, variable: str) -> None:
    run(tmp_path, **{variable: "1"})

    assert not list(tmp_path.iterdir())


def test_a_store_that_does_not_answer_never_stops_a_script(tmp_path: Path) -> None:
    ended = run(tmp_path, HYPERSWEEP_STORE="/proc/none/attempts/0")

    assert 0 == ended.returncode
    assert "hypersweep: not reported yet" in ended.stderr
    assert 0.5 == json.loads((tmp_path / "termination").read_text())["accuracy"]


BEST = '[{"metric": "loss", "goal": "minimize", "at": "best"}]'
LOSSES = """
from hypersweep_trainer import report
for epoch, loss in enumerate((3, 1, 2, 0.5), START):
    report(epoch, accuracy=1 / loss)
    report(epoch, loss=loss)
"""


@pytest.mark.parametrize(("attempt", "rungs"), [(0, {"1": 3, "3": 1}), (1, {"9": 3, "12": 0.5})])
def test_a_script_tells_its_objective_at_each_rung_that_it_comes_by(
    attempt: int, rungs: dict[str, float], tmp_path: Path
) -> None:
    code = LOSSES.replace("START", "9" if attempt else "1")
    asked = {"HYPERSWEEP_RUNGS": "[1, 3, 9, 12]", "HYPERSWEEP_OBJECTIVES": BEST}
    assert 0 == run(tmp_path, code, HYPERSWEEP_ATTEMPT=str(attempt), **asked).returncode

    assert rungs == json.loads((tmp_path / "attempts/0/progress.json").read_text())["rungs"]


def test_many_metrics_of_a_script_leave_room_for_its_objective(tmp_path: Path) -> None:
    code = (
        "from hypersweep_trainer import report; report(1, **{f'metric_{n}': n for n in range(500)}, loss=2)"
    )
    assert 0 == run(tmp_path, code, HYPERSWEEP_OBJECTIVES=BEST).returncode
    progress = (tmp_path / "attempts/0/progress.json").read_bytes()
    message = (tmp_path / "termination").read_bytes()

    assert max(len(progress), len(message)) <= 4096
    assert 2 == json.loads(progress)["metrics"]["loss"] == json.loads(message)["loss"]
    assert len(json.loads(message)) > 100


def test_reporting_outside_of_a_trial_does_nothing(tmp_path: Path) -> None:
    code = "from hypersweep_trainer import report; report(1, loss=2)"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HYPERSWEEP_")}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True
    )

    assert ("", "") == (ended.stdout, ended.stderr)
