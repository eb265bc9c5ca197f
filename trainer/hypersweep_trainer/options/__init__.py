"""Every hyperparameter of the built-in trainer, and what may be asked of them without running it.

Standard library only: the operator validates manifests against this table without importing torch.
"""

from hypersweep_trainer.options.admission import check, metrics, near, resolve
from hypersweep_trainer.options.facts import DATASETS, MAXIMIZED, METRICS, ON_REQUEST
from hypersweep_trainer.options.option import Option, shown
from hypersweep_trainer.options.preset import PRESETS
from hypersweep_trainer.options.table import OPTIONS, Options
from hypersweep_trainer.options.words import brief, described, rounded

__all__ = [
    "DATASETS",
    "MAXIMIZED",
    "METRICS",
    "ON_REQUEST",
    "OPTIONS",
    "PRESETS",
    "Option",
    "Options",
    "brief",
    "check",
    "described",
    "metrics",
    "near",
    "resolve",
    "rounded",
    "shown",
]
