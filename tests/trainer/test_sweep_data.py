"""The data of a sweep's trials: one split whatever the seed, folds, and a rare class found."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from hypersweep_trainer.config import Config
from hypersweep_trainer.data import load
from hypersweep_trainer.data.raw import Resident
from tests.trainer.learning import CPU, OFF
from tests.trainer.runs import an_environment, left, rows, train


def test_all_trials_of_a_sweep_share_a_split_whatever_their_seeds(tmp_path: Path) -> None:
    splits = []
    for seed, split_seed in (("1", 0), ("2", 0), ("1", 7)):
        root = tmp_path / f"{seed}-{split_seed}"
        train(an_environment(root, {**OFF, "epochs": 1, "split_seed": split_seed}, HYPERSWEEP_SEED=seed))
        splits.append(left(root, "environment.json")["split"])

    assert splits[0] == splits[1] != splits[2]


def test_each_row_validates_in_one_run_of_a_configuration() -> None:
    given = {"data": "synthetic_curve", "synthetic_rows": 100, "folds": 4, "num_encoder": "none"}
    parts = []
    for replicate in range(4):
        variables = {"HYPERSWEEP_TRAINER": json.dumps(given), "HYPERSWEEP_REPLICATE": str(replicate)}
        data = load(Config.read(variables), CPU)
        assert isinstance(data.val, Resident)
        assert isinstance(data.train, Resident)
        parts.append({*data.val.x[:, 0].tolist()})
        assert parts[-1].isdisjoint(data.train.x[:, 0].tolist())

    assert 80 == len(set.union(*parts)) == sum(map(len, parts))


def test_a_run_takes_the_fold_that_it_is_given_else_its_own_turn_by_turn() -> None:
    def fold(replicate: int, **options: int) -> int:
        variables = {"HYPERSWEEP_TRAINER": json.dumps(options), "HYPERSWEEP_REPLICATE": str(replicate)}
        return Config.read(variables).options.fold

    assert [0, 1, 2, 0] == [fold(replicate, folds=3) for replicate in range(4)]
    assert 2 == fold(1, folds=3, fold=2)
    assert 0 == fold(1)


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
