"""Builders of saved models: of networks with first weights, which predict as well as any for a test."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer import saved
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data, load, split
from hypersweep_trainer.data.raw import Rows
from hypersweep_trainer.train import built

CPU = torch.device("cpu")
TINY = {"width": 8, "depth": 1}


@dataclass(frozen=True)
class Kept:
    """A model, the folder that holds it, and what it was made of."""

    config: Config
    data: Data
    network: torch.nn.Module
    folder: Path

    @property
    def model(self) -> saved.Model:
        return saved.opened(str(self.folder))

    def places(self, part: str, labels: Sequence[Any]) -> NDArray[np.int64]:
        """Which rows of the data are for training, validation or testing, by the labels of all."""
        places = split.rows(len(labels), np.asarray(labels), self.config.options, 1.0)
        found: NDArray[np.int64] = getattr(places, part)
        return found

    @torch.no_grad()
    def outputs(self, rows: Rows) -> Tensor:
        """What the network gives for rows as the trainer encoded them."""
        x, _ = rows.take(torch.arange(len(rows)))
        output: Tensor = self.network.eval()(x).double()
        return output


def a_model(root: Path, **options: Any) -> Kept:
    """A model of the data that the options name, whose norms have seen some rows of it."""
    small = {} if ":" in options.get("model", "mlp") else TINY
    environment = {"HYPERSWEEP_TRAINER": json.dumps({**small, **options}), "HYPERSWEEP_FINAL": "1"}
    config = Config.read(environment)
    data = load(config, CPU)
    config = config.told(data.facts)
    network = built(config, data, CPU)
    with torch.no_grad():
        x, _ = data.train.take(torch.arange(min(32, len(data.train))))
        network.train()(data.finish(x))
    folder = root / "model"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in saved.files(config, data, network).items():
        (folder / name).write_bytes(content)
    return Kept(config, data, network, folder)
