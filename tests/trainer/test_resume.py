"""A run that was stopped goes on as if nothing had happened: its rate, its measurements, its noise."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from torch import nn

from hypersweep_trainer import metric
from hypersweep_trainer.form import Form
from hypersweep_trainer.metric import evaluating
from tests.trainer.learning import OFF, ROUGH, same
from tests.trainer.runs import an_environment, curve, left, rows, stop_after, train, weights


def rates(root: Path, *attempts: int) -> list[float]:
    return [row["run"]["lr"] for attempt in attempts or (0,) for row in rows(root, attempt)]


@pytest.mark.parametrize("calls", [1, 20, 36, 50])
def test_a_plateau_survives_a_stop(calls: int, tmp_path: Path) -> None:
    options = {**ROUGH, "schedule": "plateau", "plateau_patience": 0, "step_factor": 0.5, "epochs": 6}
    train(an_environment(tmp_path / "whole", options))
    train(an_environment(tmp_path / "broken", options), stop_after(calls))
    train(an_environment(tmp_path / "broken", options, attempt=1))

    assert len(set(rates(tmp_path / "whole"))) > 2
    assert rates(tmp_path / "whole") == rates(tmp_path / "broken", 0, 1)
    assert curve(tmp_path / "whole") == curve(tmp_path / "broken", 0, 1)


def test_a_stop_in_an_evaluation_measures_again_where_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**ROUGH, "ema": 0.9, "schedule": "plateau", "plateau_patience": 0, "step_factor": 0.5}
    train(an_environment(tmp_path / "whole", options))
    asked, broken = Event(), tmp_path / "broken"

    @contextmanager
    def measuring(network: nn.Module) -> Iterator[None]:
        asked.set()
        with evaluating(network):
            yield

    with monkeypatch.context() as patch:
        patch.setattr(metric, "evaluating", measuring)
        assert 75 == train(an_environment(broken, options), asked.is_set)
    assert [] == rows(broken)
    assert 0 == train(an_environment(broken, options, attempt=1))

    assert 9 == left(broken, "result.json", 1)["resumedFrom"]
    assert curve(tmp_path / "whole") == curve(broken, 0, 1)


class Forgetful(nn.Sequential):
    def __init__(self, form: Form) -> None:
        super().__init__(nn.Linear(form.shape[0], 16), nn.Dropout(0.5), nn.Linear(16, form.outputs))


def test_an_own_network_that_draws_noise_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    options = {**OFF, "data": "wine", "model": f"{__name__}:Forgetful", "epochs": 3, "batch_size": 16}

    def environment(name: str, attempt: int = 0) -> dict[str, str]:
        return {**an_environment(tmp_path / name, attempt=attempt), "HYPERSWEEP_TRAINER": json.dumps(options)}

    train(environment("whole"))
    train(environment("broken"), stop_after(10))
    train(environment("broken", attempt=1))

    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken", 1))
