"""Epochs and batches: a run takes each row once an epoch, in the order and the parts that options say."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data, load
from hypersweep_trainer.data.raw import Rows
from hypersweep_trainer.learner import Learner
from tests.trainer.learning import OFF, a_learner, close
from tests.trainer.runs import an_environment, left, stop_after, train, weights

COUNT, FEW = 1079, 108  # training rows of digits, and a tenth of them


def gradient(learner: Learner, at: Tensor) -> Tensor:
    """The gradient of one step, at a rate that moves nothing."""
    learner.rate = lambda _: 0.0
    learner.learn(at, slice(0, len(at)))
    return torch.cat([p.grad.flatten() for p in learner.network.parameters() if p.grad is not None])


class Spy:
    """Training rows that note which of them were taken."""

    def __init__(self, inner: Rows) -> None:
        self._inner = inner
        self.seen: list[Tensor] = []

    @property
    def device(self) -> torch.device:
        return self._inner.device

    def __len__(self) -> int:
        return len(self._inner)

    def take(self, at: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(at)
        return self._inner.take(at)

    def hint(self, batches: Iterable[Tensor]) -> None:
        pass


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Tensor]]:
    """The batches of all trials so far."""
    spies: list[Spy] = []

    def watched(config: Config, device: torch.device) -> Data:
        data = load(config, device)
        spies.append(Spy(data.train))
        return replace(data, train=spies[-1])

    monkeypatch.setattr("hypersweep_trainer.train.load", watched)
    return lambda: [batch for spy in spies for batch in spy.seen]


@pytest.mark.parametrize(("size", "epochs"), [(1, 2), (25, 3), (FEW, 2), (1797, 2)])
def test_a_run_takes_epochs_times_the_batches_of_all_rows(
    size: int, epochs: int, tmp_path: Path, spied: Callable[[], list[Tensor]]
) -> None:
    train(an_environment(tmp_path, {**OFF, "subset_fraction": 0.1, "batch_size": size, "epochs": epochs}))

    assert epochs * math.ceil(FEW / size) == left(tmp_path, "result.json")["steps"] == len(spied())
    assert torch.equal(torch.full((FEW,), epochs), torch.bincount(torch.cat(spied())))


@pytest.mark.parametrize("calls", [4, 9, 13])
def test_every_row_is_used_once_an_epoch_across_a_stop(
    calls: int, tmp_path: Path, spied: Callable[[], list[Tensor]]
) -> None:
    train(an_environment(tmp_path, OFF), stop_after(calls))
    train(an_environment(tmp_path, OFF, attempt=1))

    assert 27 == len(spied())
    assert torch.equal(torch.full((COUNT,), 3), torch.bincount(torch.cat(spied())))


def test_epochs_differ_in_order_alone_and_not_at_all_without_shuffling(
    tmp_path: Path, spied: Callable[[], list[Tensor]]
) -> None:
    for name, shuffle in {"yes": True, "no": False}.items():
        train(an_environment(tmp_path / name, {**OFF, "shuffle": shuffle, "epochs": 2}))
    first, second, third, fourth = (torch.cat(spied()[start : start + 9]) for start in range(0, 36, 9))

    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)
    assert torch.equal(torch.arange(COUNT), third)
    assert torch.equal(third, fourth)


def test_the_gradient_of_all_rows_does_not_depend_on_their_order() -> None:
    learner = a_learner()
    one, other = (gradient(learner, torch.randperm(COUNT)) for _ in range(2))

    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
    assert one.abs().max() > 1e-3


def test_the_noise_of_a_gradient_falls_with_the_batch() -> None:
    learner = a_learner()
    generator = torch.Generator().manual_seed(0)

    def variance(size: int) -> float:
        draws = [torch.randint(COUNT, (size,), generator=generator) for _ in range(400)]
        return float(torch.stack([gradient(learner, draw) for draw in draws]).var(0).sum())

    assert pytest.approx(8.0, rel=0.15) == variance(8) / variance(64)


def test_parts_of_a_batch_add_up_to_the_whole(tmp_path: Path) -> None:
    for name, parts in {"whole": 1, "four": 4}.items():
        train(an_environment(tmp_path / name, {**OFF, "grad_accum": parts, "optimizer": "sgd"}))

    close(weights(tmp_path / "whole"), weights(tmp_path / "four"))


def test_a_batch_counts_the_rows_of_all_ranks_or_of_each() -> None:
    def batch(scope: str) -> int:
        return Config.read(
            {"HYPERSWEEP_TRAINER": json.dumps({"batch_scope": scope}), "PET_NPROC_PER_NODE": "4"}
        ).batch

    assert [32, 128] == [batch("global"), batch("per_rank")]
