"""All checks together: they pass what is sound, end what is asked to end, and leave no trace."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from hypersweep_trainer import check
from hypersweep_trainer.data import load
from hypersweep_trainer.data.raw import Resident
from hypersweep_trainer.form import Form
from hypersweep_trainer.options import DATASETS
from tests.trainer.checking import CPU, FEW, a_config, a_trial, built
from tests.trainer.processes import a_port
from tests.trainer.runs import an_environment, left, rows, train
from tests.trainer.runs import start as run

FREE = {"zero_mean", "first_loss", "diverged", "stalled", "gap"}
THOROUGH = FREE | {"gradient", "overfit_small", "regularisation", "hints"}


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("mode", ["first", "later"])
def test_no_check_fails_what_the_defaults_make_of_any_data(name: str, mode: str, tmp_path: Path) -> None:
    environment = an_environment(tmp_path, HYPERSWEEP_CHECKS="all" if mode == "first" else "")
    options = {"data": name, "epochs": 3, **FEW.get(name, {}), "subset_fraction": 1.0}
    assert 0 == train({**environment, "HYPERSWEEP_TRAINER": json.dumps(options)})
    checks = left(tmp_path, "result.json")["checks"]

    silent = {"zero_mean"} if name in ("markov", "brackets") else set()
    assert (THOROUGH if mode == "first" else FREE) - silent == set(checks)
    assert "" == check.failed(checks)
    assert not any("could not be made" in verdict["words"] for verdict in checks.values())
    assert all({"verdict", "found", "expected", "words"} == set(verdict) for verdict in checks.values())


def test_a_failed_check_ends_the_first_trial_before_it_trains_where_it_is_asked_to(tmp_path: Path) -> None:
    poor = {"image_norm": "none"}
    stopped = a_trial(tmp_path / "stop", thorough=True, checks="stop", **poor)
    warned = a_trial(tmp_path / "warn", thorough=True, **poor)
    later = a_trial(tmp_path / "later", checks="stop", **poor)

    assert ["infeasible", "done", "done"] == [run["status"] for run in (stopped, warned, later)]
    assert stopped["reason"].startswith("a check failed: zero_mean: the mean of channel 1 is ")
    assert "fail" == stopped["checks"]["zero_mean"]["verdict"]
    assert [] == rows(tmp_path / "stop")
    assert "check failed: zero_mean" in (tmp_path / "warn/attempts/0/log.txt").read_text()


def test_ranks_agree_on_whether_to_go_on(tmp_path: Path) -> None:
    options, port = {"image_norm": "none", "checks": "stop"}, a_port()
    environment = an_environment(tmp_path, options, ranks=2, PET_MASTER_PORT=port, HYPERSWEEP_CHECKS="all")

    assert 0 == run(environment).wait(timeout=120)
    assert "infeasible" == left(tmp_path, "result.json")["status"]
    assert "a check failed: zero_mean" in left(tmp_path, "result.json")["reason"]


def test_checks_can_be_switched_off(tmp_path: Path) -> None:
    assert {} == a_trial(tmp_path, thorough=True, checks="off")["checks"]


class Forgetful(nn.Sequential):
    """A network with a dropout of its own, which draws from the generator that everybody shares."""

    def __init__(self, form: Form) -> None:
        super().__init__(nn.Linear(form.shape[0], 16), nn.Dropout(0.5), nn.Linear(16, form.outputs))


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.3, "norm": "batch", "crop_pad": 1},
        {"data": "wine", "model": f"{__name__}:Forgetful"},
        {"data": "markov", "token_drop": 0.1, "width": 16, "depth": 1, "batch_size": 16},
    ],
)
def test_checks_leave_no_trace_in_the_weights(options: dict[str, Any], tmp_path: Path) -> None:
    a_trial(tmp_path / "with", thorough=True, **options)
    a_trial(tmp_path / "without", checks="off", **options)
    weights = [tmp_path / name / "attempts/0/model/weights.safetensors" for name in ("with", "without")]

    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_checks_read_no_test_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError

    config = replace(a_config(data="digits"), final=True, thorough=True)
    data = load(config, CPU)
    assert data.test is not None
    network, test = built(config, data), data.test
    monkeypatch.setattr(Resident, "take", lambda part, at: forbidden() if part is test else _taken(part, at))
    verdicts = check.before(config, data, network, CPU)

    assert "" == check.failed(verdicts)
    assert THOROUGH - {"diverged", "stalled", "gap"} == set(verdicts)


def _taken(part: Resident, at: Tensor) -> tuple[Tensor, Tensor]:
    return part.x[at], part.y[at]
