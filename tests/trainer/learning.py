"""Builders of learners and options for tests of the loop, and what their runs come to."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hypersweep_trainer import loss, metric, saved
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import load
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.model.transfer import folder
from hypersweep_trainer.rank import Alone
from hypersweep_trainer.train import built
from tests.trainer.runs import SMALL

CPU = torch.device("cpu")
SGD = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0}
OFF = {"checks": "off", "checkpoint_seconds": 0}
ROUGH = {**OFF, "lr": 0.5, "optimizer": "sgd", "momentum": 0.98, "schedule": "constant", "warmup": 0.0}


def a_learner(**options: Any) -> Learner:
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps({**SMALL, **SGD, **options})})
    data = load(config, CPU)
    return Learner(config, data, Alone(CPU), built(config, data, CPU), 100, 10)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float = 1e-6) -> None:
    for name, expected in one.items():
        torch.testing.assert_close(other[name], expected, rtol=0, atol=tolerance)


def validated(root: Path, attempt: int = 0) -> float:
    """The validation loss of the saved model."""
    model = saved.load(folder(f"{root}/attempts/{attempt}/model", {}), CPU)
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps({"split_seed": model.options.split_seed})})
    data = load(config, CPU)
    rule = loss.build(model.options, data.form, data.frequencies)
    found = metric.evaluate(model.network, data.val, data.form, data.scaling, Alone(CPU), "val", rule)
    return found.values["val_loss"]
