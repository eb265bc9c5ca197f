"""Builders for tests of the checks: few rows, small networks, and what a trial says of itself."""

import json
from pathlib import Path
from typing import Any

import torch

from hypersweep_trainer import model
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data
from tests.trainer.runs import SMALL, an_environment, left, train

CPU = torch.device("cpu")
FEW: dict[str, dict[str, Any]] = {  # rows, for speed
    "synthetic_images": {"synthetic_rows": 100},
    "synthetic_table": {"synthetic_rows": 400},
    "markov": {"synthetic_rows": 40, "context": 32},
    "brackets": {"synthetic_rows": 100, "context": 32},
}


def a_config(**options: Any) -> Config:
    given = {**FEW.get(options.get("data", ""), {}), **options}
    return Config.read({"HYPERSWEEP_TRAINER": json.dumps(given)})


def a_trial(root: Path, thorough: bool = False, **options: Any) -> dict[str, Any]:
    """What a trial said of itself."""
    given = {**SMALL, **FEW.get(options.get("data", ""), {}), **options}
    if ":" in given.get("model", ""):  # an own network has neither
        given = {name: value for name, value in given.items() if name not in ("width", "depth")}
    environment = an_environment(root, HYPERSWEEP_CHECKS="all" if thorough else "")
    assert 0 == train({**environment, "HYPERSWEEP_TRAINER": json.dumps(given)})
    result: dict[str, Any] = left(root, "result.json")
    return result


def built(config: Config, data: Data) -> model.Network:
    torch.manual_seed(0)
    return model.build(config.options, data.form)
