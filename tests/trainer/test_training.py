"""What only the whole loop can show: steps, rows, resumes, early ends, and what they leave."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hypersweep_trainer import loss, metric, saved
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data, load
from hypersweep_trainer.data.raw import Resident, Rows
from hypersweep_trainer.form import Form
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.metric import evaluating
from hypersweep_trainer.model.transfer import folder
from hypersweep_trainer.rank import Alone
from hypersweep_trainer.train import built
from tests.trainer.runs import SMALL, an_environment, curve, left, rows, stop_after, train, weights

CPU = torch.device("cpu")
COUNT, FEW = 1079, 108  # training rows of digits, and a tenth of them
SGD = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0}
OFF = {"checks": "off", "checkpoint_seconds": 0}
ROUGH = {**OFF, "lr": 0.5, "optimizer": "sgd", "momentum": 0.98, "schedule": "constant", "warmup": 0.0}


def a_learner(**options: Any) -> Learner:
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps({**SMALL, **SGD, **options})})
    data = load(config, CPU)
    return Learner(config, data, Alone(CPU), built(config, data, CPU), 100, 10)


def parameters(learner: Learner) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in learner.network.parameters()]


def gradient(learner: Learner, at: Tensor) -> Tensor:
    """The gradient of one step, at a rate that moves nothing."""
    learner.rate = lambda _: 0.0
    learner.learn(at, slice(0, len(at)))
    return torch.cat([p.grad.flatten() for p in learner.network.parameters() if p.grad is not None])


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float = 1e-6) -> None:
    for name, expected in one.items():
        torch.testing.assert_close(other[name], expected, rtol=0, atol=tolerance)


def rates(root: Path, *attempts: int) -> list[float]:
    return [row["run"]["lr"] for attempt in attempts or (0,) for row in rows(root, attempt)]


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

    def hint(self, order: Tensor) -> None:
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


# -- epochs and batches


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


# -- steps


def test_a_step_of_sgd_is_the_rate_times_the_gradient() -> None:
    learner = a_learner(lr=0.125)
    before = parameters(learner)
    learner.learn(torch.arange(64), slice(0, 64))
    gradients = [p.grad for p in learner.network.parameters() if p.grad is not None]

    for old, slope, new in zip(before, gradients, parameters(learner), strict=True):
        assert torch.equal(old - 0.125 * slope, new)


def test_a_gradient_is_clipped_to_its_largest_norm() -> None:
    learner = a_learner(lr=0.5, grad_clip=0.1)
    before = parameters(learner)
    learner.learn(torch.arange(64), slice(0, 64))
    moved = [new - old for old, new in zip(before, parameters(learner), strict=True)]

    assert float(learner.norm) > 0.1
    assert pytest.approx(0.05, rel=1e-4) == float(torch.cat([part.flatten() for part in moved]).norm())


def test_weight_decay_is_l2_in_the_loss_for_sgd_and_not_for_adam(tmp_path: Path) -> None:
    for optimizer in ("sgd", "adamw"):
        for name in ("weight_decay", "l2"):
            options = {**SGD, "optimizer": optimizer, "lr": 0.01, "weight_decay": 0.0, name: 0.05}
            if optimizer == "adamw":
                del options["momentum"]
            train(an_environment(tmp_path / optimizer / name, {**OFF, **options}))

    close(*(weights(tmp_path / "sgd" / name) for name in ("weight_decay", "l2")))
    decayed, penalised = (weights(tmp_path / "adamw" / name) for name in ("weight_decay", "l2"))
    assert max(float((decayed[name] - penalised[name]).abs().max()) for name in decayed) > 1e-3


def test_the_mean_of_weights_is_what_evaluation_sees_and_what_is_saved(tmp_path: Path) -> None:
    for name, ema in {"own": 0.0, "mean": 0.9}.items():
        train(an_environment(tmp_path / name, {**OFF, "ema": ema, "lr": 1e-2}))
    train(an_environment(tmp_path / "stopped", {**OFF, "ema": 0.9, "lr": 1e-2}), stop_after(13))
    train(an_environment(tmp_path / "stopped", {**OFF, "ema": 0.9, "lr": 1e-2}, attempt=1))
    own, mean = (rows(tmp_path / name) for name in ("own", "mean"))

    assert [row["metrics"]["train_loss"] for row in own] == [row["metrics"]["train_loss"] for row in mean]
    assert own[-1]["metrics"]["val_loss"] != mean[-1]["metrics"]["val_loss"]
    assert pytest.approx(mean[-1]["metrics"]["val_loss"]) == validated(tmp_path / "mean")
    assert same(weights(tmp_path / "mean"), weights(tmp_path / "stopped", 1))


def validated(root: Path, attempt: int = 0) -> float:
    """The validation loss of the saved model."""
    model = saved.load(folder(f"{root}/attempts/{attempt}/model", {}), CPU)
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps({"split_seed": model.options.split_seed})})
    data = load(config, CPU)
    rule = loss.build(model.options, data.form, data.frequencies)
    found = metric.evaluate(model.network, data.val, data.form, data.scaling, Alone(CPU), "val", rule)
    return found.values["val_loss"]


# -- the learning rate of a resumed run


@pytest.mark.parametrize("calls", [1, 20, 36, 50])
def test_a_plateau_survives_a_stop(calls: int, tmp_path: Path) -> None:
    options = {**ROUGH, "schedule": "plateau", "plateau_patience": 0, "step_factor": 0.5, "epochs": 6}
    train(an_environment(tmp_path / "whole", options))
    train(an_environment(tmp_path / "broken", options), stop_after(calls))
    train(an_environment(tmp_path / "broken", options, attempt=1))

    assert len(set(rates(tmp_path / "whole"))) > 2
    assert rates(tmp_path / "whole") == rates(tmp_path / "broken", 0, 1)
    assert curve(tmp_path / "whole") == curve(tmp_path / "broken", 0, 1)


# -- a stop while an epoch is measured


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


# -- early ends


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


# -- frozen layers


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("pretrained")
    train(an_environment(root, {**OFF, "norm": "batch", "split_seed": 1}))
    return f"{root}/attempts/0/model"


def test_frozen_layers_stay_and_move_from_their_epoch_on(tmp_path: Path, pretrained: str) -> None:
    options = {**OFF, "norm": "batch", "pretrained": pretrained, "freeze": ["body.*"], "lr": 1e-2}
    for epoch in (0, 3):
        train(an_environment(tmp_path / str(epoch), {**options, "unfreeze_epoch": epoch}))
    first = weights(Path(pretrained).parents[2])
    body = [name for name in first if name.startswith("body.")]
    frozen, thawed = weights(tmp_path / "0"), weights(tmp_path / "3")

    assert any("running_mean" in name for name in body)
    assert all(torch.equal(first[name], frozen[name]) for name in body)
    assert not any(torch.equal(first[name], thawed[name]) for name in body if "weight" in name)
    assert not torch.equal(first["head.weight"], frozen["head.weight"])
    assert curve(tmp_path / "0")[:2] == curve(tmp_path / "3")[:2]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lamb"])
@pytest.mark.parametrize("calls", [5, 9, 14, 18])
def test_a_stop_on_either_side_of_the_thaw_changes_nothing(
    calls: int, optimizer: str, tmp_path: Path, pretrained: str
) -> None:
    options = {
        **OFF, "norm": "batch", "pretrained": pretrained, "freeze": ["body.*"], "unfreeze_epoch": 2,
        "optimizer": optimizer,
    }  # fmt: skip
    train(an_environment(tmp_path / "whole", options))
    train(an_environment(tmp_path / "broken", options), stop_after(calls))
    train(an_environment(tmp_path / "broken", options, attempt=1))

    assert curve(tmp_path / "whole") == curve(tmp_path / "broken", 0, 1)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken", 1))


# -- networks with noise of their own


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


# -- the data of a sweep


def test_all_trials_of_a_sweep_share_a_split_whatever_their_seeds(tmp_path: Path) -> None:
    splits = []
    for seed, split_seed in (("1", 0), ("2", 0), ("1", 7)):
        root = tmp_path / f"{seed}-{split_seed}"
        train(an_environment(root, {**OFF, "epochs": 1, "split_seed": split_seed}, HYPERSWEEP_SEED=seed))
        splits.append(left(root, "environment.json")["split"])

    assert splits[0] == splits[1] != splits[2]


def test_each_row_validates_in_one_fold(tmp_path: Path) -> None:
    parts = []
    for fold in range(4):
        given = {
            "data": "synthetic_curve",
            "synthetic_rows": 100,
            "folds": 4,
            "fold": fold,
            "num_encoder": "none",
        }
        data = load(Config.read({"HYPERSWEEP_TRAINER": json.dumps(given)}), CPU)
        assert isinstance(data.val, Resident)
        assert isinstance(data.train, Resident)
        parts.append({*data.val.x[:, 0].tolist()})
        assert parts[-1].isdisjoint(data.train.x[:, 0].tolist())

    assert 80 == len(set.union(*parts)) == sum(map(len, parts))


def imbalanced() -> tuple[Any, Any]:
    """One row in fifty is of the class that is hard to tell."""
    random = np.random.default_rng(0)
    y = np.arange(3000) % 50 == 0
    x = random.standard_normal((3000, 2)) + 1.5 * y[:, None]
    return x, y.astype(np.int64)


def test_weights_of_classes_or_balanced_rows_find_more_of_a_rare_class(tmp_path: Path) -> None:
    base = {**OFF, "data": f"{__name__}:imbalanced", "epochs": 5, "lr": 1e-2}
    ways: dict[str, dict[str, str]] = {
        "plain": {}, "weighed": {"class_weights": "balanced"}, "sampled": {"sampling": "balanced"},
    }  # fmt: skip
    recall = {}
    for name, way in ways.items():
        train(an_environment(tmp_path / name, {**base, **way}))
        recall[name] = rows(tmp_path / name)[-1]["metrics"]["val_balanced_accuracy"]

    assert recall["plain"] < 0.7
    assert recall["weighed"] > recall["plain"] + 0.1
    assert recall["sampled"] > recall["plain"] + 0.1


# -- rows of metrics


def test_rows_within_an_epoch_tell_how_the_run_goes(tmp_path: Path) -> None:
    train(an_environment(tmp_path, {**OFF, "log_steps": 4, "grad_clip": 1.0}))
    found = rows(tmp_path)
    within = [row for row in found if "epoch" not in row]

    assert [4, 8, 9, 12, 16, 18, 20, 24, 27] == [row["step"] for row in found]
    assert all({"train_loss"} == set(row["metrics"]) for row in within)
    assert all({"lr", "grad_norm", "samples_per_second"} <= set(row["run"]) for row in found)
    assert all(value > 0 for row in found for value in row["run"].values())
    assert found[0]["metrics"]["train_loss"] > found[-1]["metrics"]["train_loss"]
    progress = left(tmp_path, "progress.json")
    assert [27, 3] == [progress["step"], progress["epoch"]]
    assert found[-1]["metrics"] == progress["metrics"]


def test_the_last_step_of_an_epoch_has_one_row(tmp_path: Path) -> None:
    train(an_environment(tmp_path, {**OFF, "log_steps": 3}))

    assert [3, 6, 9, 12, 15, 18, 21, 24, 27] == [row["step"] for row in rows(tmp_path)]


def test_what_is_no_number_stays_out_of_rows(tmp_path: Path) -> None:
    options = {"data": "synthetic_curve", "synthetic_rows": 10_000, "optimizer": "sgd", "lr": 100.0}
    train(an_environment(tmp_path, {**options, "batch_size": 32, "log_steps": 1}))
    root = tmp_path / "attempts/0"
    documents = [root / "progress.json", root / "result.json", *root.glob("metrics/*.jsonl")]
    lines = [line for path in documents[2:] for line in path.read_text().splitlines()]
    found = [json.loads(text, parse_constant=no_number) for text in lines]
    for path in documents[:2]:
        json.loads(path.read_text(), parse_constant=no_number)

    assert "infeasible" == left(tmp_path, "result.json")["status"]
    assert {"train_loss"} == set(found[0]["metrics"])
    assert {} == found[-1]["metrics"]
    assert "grad_norm" not in found[-1]["run"]


def no_number(text: str) -> float:
    raise AssertionError(text)


def test_rows_within_an_epoch_change_nothing_else(tmp_path: Path) -> None:
    for name, steps in {"with": 2, "without": 0}.items():
        train(an_environment(tmp_path / name, {**OFF, "log_steps": steps}))

    assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))
    assert curve(tmp_path / "without") == [
        (row["step"], row["metrics"]) for row in rows(tmp_path / "with") if "epoch" in row
    ]
