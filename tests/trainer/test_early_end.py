"""Early ends: a run stops after its best epoch where it is asked to, and takes the best weights."""

from pathlib import Path

import pytest

from tests.trainer.learning import ROUGH, same, validated
from tests.trainer.runs import an_environment, curve, left, stop_after, train, weights


def losses(root: Path, *attempts: int) -> list[float]:
    return [metrics["val_loss"] for _, metrics in curve(root, *attempts)]


@pytest.mark.parametrize("patience", [1, 3])
def test_a_run_stops_so_many_epochs_after_its_best(patience: int, tmp_path: Path) -> None:
    train(an_environment(tmp_path, {**ROUGH, "patience": patience, "epochs": 60}))
    found = losses(tmp_path)

    assert len(found) == 1 + found.index(min(found)) + patience < 60
    assert 9 * len(found) == left(tmp_path, "result.json")["steps"]


def test_nothing_stops_a_run_by_default(tmp_path: Path) -> None:
    train(an_environment(tmp_path, {**ROUGH, "epochs": 12}))

    assert 12 == len(losses(tmp_path))
    assert min(losses(tmp_path)) < losses(tmp_path)[-1]


@pytest.mark.parametrize("calls", [3, 20, 40])
def test_the_weights_of_the_best_epoch_come_back(calls: int, tmp_path: Path) -> None:
    options = {**ROUGH, "epochs": 6, "restore_best": True}
    train(an_environment(tmp_path / "whole", options))
    train(an_environment(tmp_path / "broken", options), stop_after(calls))
    train(an_environment(tmp_path / "broken", options, attempt=1))
    best = min(losses(tmp_path / "whole"))
    found = left(tmp_path / "whole", "result.json")["metrics"]["val_loss"]

    assert best < losses(tmp_path / "whole")[-1]
    assert [best, best] == [found["last"], found["value"]]
    assert pytest.approx(best) == validated(tmp_path / "whole")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken", 1))
    assert found == left(tmp_path / "broken", "result.json", 1)["metrics"]["val_loss"]
