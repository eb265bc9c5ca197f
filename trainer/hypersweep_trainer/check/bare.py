"""A configuration without all that regularises: what its network must be able to learn by heart."""

from typing import Any

import torch

from hypersweep_trainer import model
from hypersweep_trainer.augment import SWITCHES
from hypersweep_trainer.config import Config
from hypersweep_trainer.counter import draw
from hypersweep_trainer.data import Data

REGULARISERS = (
    "dropout", "dropconnect", "stochastic_depth", "label_smoothing", "l1", "l2", "weight_decay", *SWITCHES,
)  # fmt: skip
OFF = {**dict.fromkeys(REGULARISERS, 0), "class_weights": "none", "pretrained": ""}


def regularisers(config: Config) -> dict[str, Any]:
    """Those that are on, with their values."""
    return {name: value for name in REGULARISERS if (value := config.resolved.get(name))}


def bare(config: Config, **but: Any) -> Config:
    """All of them off, but for those that are given."""
    return config.changed(**{**OFF, **but})


def built(config: Config, data: Data, device: torch.device) -> model.Network:
    """A network of its own with the first weights of training."""
    torch.default_generator.manual_seed(draw(config.seed, "model"))
    return model.build(config.options, data.form).to(device)
