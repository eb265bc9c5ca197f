"""The one table: every option by name, and the typed configuration that holds their values."""

from collections.abc import Mapping
from dataclasses import dataclass

from hypersweep_trainer.options.inputs import Augmentation, Inputs
from hypersweep_trainer.options.network import Network, Transfer
from hypersweep_trainer.options.option import Option, table
from hypersweep_trainer.options.preset import Recipe
from hypersweep_trainer.options.running import Running
from hypersweep_trainer.options.source import Source
from hypersweep_trainer.options.training import Regularisation, Training

GROUPS = (Recipe, Source, Inputs, Augmentation, Network, Transfer, Training, Regularisation, Running)


@dataclass(frozen=True)
class Options(
    Running, Regularisation, Training, Transfer, Network, Augmentation, Inputs, Source, Recipe
):  # the fields of the last one come first
    """The configuration of one run; an option that has no effect in it keeps its default."""


OPTIONS: Mapping[str, Option] = table(*GROUPS)
