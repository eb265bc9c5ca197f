"""How the numbers to predict are scaled for training, and back."""

from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.data.column import deviation

Numbers = TypeVar("Numbers", NDArray[Any], Tensor)


@dataclass(frozen=True)
class Scaling:
    """(y - center) / scale of the target y, or of log(1 + y); metrics are told in y's own units."""

    center: float = 0.0
    scale: float = 1.0
    log: bool = False

    @classmethod
    def fit(cls, y: NDArray[np.float64], norm: str) -> Self:
        """Of the training rows' targets (n,), by `target_norm`; of equal targets the scale is 1."""
        if norm == "none":
            return cls()
        log = norm == "log"
        y = np.log1p(y) if log else y
        return cls(float(y.mean()), deviation(y) or 1.0, log)

    def apply(self, y: Numbers) -> Numbers:
        """Scaled units of original ones."""
        return ((_log(y) if self.log else y) - self.center) / self.scale

    def undo(self, scaled: Numbers) -> Numbers:
        """Original units of scaled ones."""
        y = scaled * self.scale + self.center
        return _exponential(y) if self.log else y


def _log(y: Numbers) -> Numbers:
    if isinstance(y, Tensor):
        return y.log1p()
    logs: NDArray[Any] = np.log1p(y)
    return logs


def _exponential(y: Numbers) -> Numbers:
    if isinstance(y, Tensor):
        return y.expm1()
    powers: NDArray[Any] = np.expm1(y)
    return powers
