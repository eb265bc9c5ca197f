"""A run in two stages: the first one's weights start the second, and a stop in either changes nothing."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hypersweep_trainer.model import Network, pretrain
from hypersweep_trainer.model.pretrain import Answered
from tests.trainer.runs import (
    an_environment,
    checkpoints,
    curve,
    left,
    message,
    rows,
    start,
    stop_after,
    train,
    weights,
)  # fmt: skip

OFF = {"checks": "off", "checkpoint_seconds": 0}
KINDS: dict[str, dict[str, Any]] = {
    "autoencoder": {"pretrain": "autoencoder"},
    "masked": {"pretrain": "masked", "mask_fraction": 0.5, "norm": "batch", "dropout": 0.2, "crop_pad": 1},
    "masked-table": {"data": "wine", "pretrain": "masked", "batch_size": 32},
    "lm": {
        "data": "brackets", "synthetic_rows": 200, "context": 16, "model": "transformer", "pretrain": "lm",
        "batch_size": 32,
    },
}  # fmt: skip


def options(kind: str, **more: Any) -> dict[str, Any]:
    return {**OFF, **KINDS[kind], "pretrain_epochs": 2, "epochs": 2, **more}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def log(root: Path, attempt: int = 0) -> str:
    return (root / "attempts" / str(attempt) / "log.txt").read_text()


@pytest.fixture
def handed_on(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Network, dict[str, Tensor], dict[str, Tensor]]]:
    """Networks as the second stage gets them, beside the weights that the first one ended with."""
    seen: list[tuple[Network, dict[str, Tensor], dict[str, Tensor]]] = []

    def second(network: Network, before: Network) -> None:
        fresh = copied(network)
        give(network, before)
        seen.append((network, fresh, copied(before)))

    give = pretrain.second
    monkeypatch.setattr(pretrain, "second", second)
    return seen


def copied(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_stage_starts_from_all_that_the_first_one_learned(
    kind: str, tmp_path: Path, handed_on: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    began = []

    class Stopped(Exception):
        pass

    def loop(*given: Any, **_: Any) -> None:
        began.append(copied(given[3]))
        raise Stopped

    monkeypatch.setattr("hypersweep_trainer.train.Loop", loop)  # the second one; the first has its own
    assert 1 == train(an_environment(tmp_path, options(kind)))
    ((_, fresh, learned),), (given,) = handed_on, began
    taken_over = [name for name in given if not name.startswith("head.")]

    assert all(torch.equal(learned[name], given[name]) for name in taken_over)
    assert not all(torch.equal(fresh[name], given[name]) for name in taken_over)
    assert all(torch.equal(fresh[name], given[name]) for name in given if name.startswith("head."))


def test_the_loss_of_the_first_stage_falls_and_no_metric_counts_it(tmp_path: Path) -> None:
    train(an_environment(tmp_path, options("masked", pretrain_epochs=6, lr=1e-2)))
    said = [line for line in log(tmp_path).splitlines() if line.startswith("first stage, ")]
    losses = [float(line.partition("train_loss ")[2].split()[0]) for line in said]

    assert 6 == len(losses)
    assert losses[-1] < 0.9 * losses[0]
    assert [9, 18] == [row["step"] for row in rows(tmp_path)]
    assert 18 == left(tmp_path, "result.json")["steps"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("calls", [1, 4, 8, 11])
def test_a_stop_in_either_stage_changes_nothing(kind: str, calls: int, tmp_path: Path) -> None:
    given = options(kind)
    train(an_environment(tmp_path / "whole", given))

    assert 75 == train(an_environment(tmp_path / "broken", given), stop_after(calls))
    assert 0 == train(an_environment(tmp_path / "broken", given, attempt=1))
    saved = [json.loads(manifest.read_text())["step"] for manifest in checkpoints(tmp_path / "broken")]
    assert left(tmp_path / "broken", "result.json", 1)["resumedFrom"] in saved  # counted in its stage
    assert curve(tmp_path / "whole") == curve(tmp_path / "broken", 0, 1)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken", 1))


def test_a_stage_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    given = options("masked", checkpoint_seconds=3600)
    train(an_environment(tmp_path, given), stop_after(19))  # the first step of the second stage
    second, first = checkpoints(tmp_path)
    assert [1, 18] == [json.loads(manifest.read_text())["step"] for manifest in (second, first)]
    second.unlink()  # as if a kill had come before it
    train(an_environment(tmp_path, given, attempt=1))
    train(an_environment(tmp_path / "whole", given))

    assert "first stage, epoch" not in log(tmp_path, 1)
    assert 18 == left(tmp_path, "result.json", 1)["resumedFrom"]  # counted in its stage
    assert same(weights(tmp_path / "whole"), weights(tmp_path, 1))


def test_a_process_that_is_told_to_end_in_its_first_stage_goes_on_there(tmp_path: Path) -> None:
    given = options("masked", pretrain_epochs=40, epochs=1)
    process = start(an_environment(tmp_path, given))
    deadline = time.monotonic() + 60
    while not checkpoints(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)

    assert 75 == process.wait(timeout=60)
    assert message(tmp_path).startswith("stopped on request after step ")
    assert [] == rows(tmp_path)
    assert 0 == train(an_environment(tmp_path, given, attempt=1))
    train(an_environment(tmp_path / "whole", given))
    assert "going on after step " in log(tmp_path, 1)
    assert same(weights(tmp_path / "whole"), weights(tmp_path, 1))


def test_a_first_stage_that_diverges_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answered, "_rows", lambda _, output, y: output.flatten(1).sum(1) * torch.nan)

    assert 0 == train(an_environment(tmp_path, options("masked")))
    result = left(tmp_path, "result.json")
    assert "infeasible" == result["status"]
    assert "train_loss is not finite after step 9 (epoch 1)" == result["reason"]
