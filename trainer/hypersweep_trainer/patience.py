"""Early stopping: when training has got no better for too long (Prechelt 1998)."""

import math
from collections.abc import Mapping

from hypersweep_trainer.options import Options


class Patience:
    """Watches one metric, epoch by epoch; `options.patience` of 0 never stops but still knows the best epoch.

    All ranks observe the same metrics, so that all of them stop at the same step.
    """

    def __init__(self, options: Options, larger: bool) -> None:
        self.best_epoch = 0  # counted from 1; 0 before the first
        self._epoch = 0
        self._best = math.inf
        self._sign = -1 if larger else 1
        self._patience, self._least = options.patience, options.min_delta

    @property
    def over(self) -> bool:
        """Whether so many epochs have passed since the best one that training stops."""
        return 0 < self._patience <= self._epoch - self.best_epoch

    def observe(self, value: float) -> bool:
        """Take note of an epoch's metric; whether it beats the best one before by more than `min_delta`."""
        self._epoch += 1
        loss = self._sign * value
        better = loss < self._best - self._least
        if better:
            self._best, self.best_epoch = loss, self._epoch
        return better

    def state(self) -> dict[str, float | int]:
        """What a checkpoint must hold."""
        return {"best": self._best, "best_epoch": self.best_epoch, "epoch": self._epoch}

    def restore(self, state: Mapping[str, float | int]) -> None:
        """Go on from there."""
        self._best = state["best"]
        self.best_epoch, self._epoch = int(state["best_epoch"]), int(state["epoch"])
