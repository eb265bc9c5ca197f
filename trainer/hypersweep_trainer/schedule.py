"""Learning rates as closed formulas of the step, which leave nothing to save; plateau alone remembers."""

import math
from collections.abc import Callable, Mapping

from hypersweep_trainer.options import Options


def peak(options: Options, batch: int) -> float:
    """The highest learning rate for a batch of so many rows in all: `lr` is meant for `base_batch`.

    Linear as in arXiv 1706.02677, or by the root of the batch as in arXiv 1404.5997.
    """
    power = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}[options.lr_scaling]
    return float(options.lr) * math.pow(batch / options.base_batch, power)


def schedule(options: Options, peak: float, steps: int, per_epoch: int) -> Callable[[int], float]:
    """The learning rate of each of `steps` steps, counted from 0: a linear rise, then `options.schedule`.

    The last step of the warm-up is the first at the peak; cosine (arXiv 1608.03983) and line reach their end
    at `steps`, one after the last. Drops by steps come at whole epochs of the run, the other decays begin
    with the end of the warm-up. Rprop adapts each weight's step itself and takes its first one from the peak.
    """
    if options.optimizer == "rprop":
        return lambda step: peak
    warmup = round(options.warmup * steps)
    decay = _decay(options, warmup, max(steps - warmup, 1), per_epoch)

    def rate(step: int) -> float:
        if step < warmup:
            return peak * (step + 1) / warmup
        return peak * decay(step)

    return rate


def _decay(options: Options, warmup: int, rest: int, per_epoch: int) -> Callable[[int], float]:
    """The share of the peak that is left at a step after the warm-up."""
    low, speed, power = options.min_lr_ratio, options.lr_decay, options.inverse_power
    match options.schedule:
        case "cosine":
            return lambda step: low + (1 - low) * (1 + math.cos(math.pi * (step - warmup) / rest)) / 2
        case "linear":
            return lambda step: 1 - (1 - low) * (step - warmup) / rest
        case "step":
            every, factor = options.step_every * per_epoch, options.step_factor
            return lambda step: float(factor ** (step // every))
        case "inverse":
            return lambda step: (1 + speed * (step - warmup) / per_epoch) ** -power
        case "exponential":
            return lambda step: math.exp(-speed * (step - warmup) / per_epoch)
    return lambda step: 1.0


def robbins_monro(options: Options) -> tuple[bool, bool, str]:
    """Whether the sum of all rates diverges, and that of their squares converges, if the schedule never ends.

    Both must hold for stochastic approximation to reach the optimum (Robbins and Monro 1951). The third
    value says in words how the rates fall.
    """
    match options.schedule:
        case "inverse" if options.lr_decay > 0:
            power = options.inverse_power
            return power <= 1, power > 0.5, f"rates fall as 1 / t^{power:g}"
        case "exponential" if options.lr_decay > 0:
            return False, True, "rates fall exponentially"
        case "step" | "plateau" if options.step_factor < 1:
            return False, True, "rates fall exponentially"
        case "cosine" | "linear" if options.min_lr_ratio == 0:
            return False, True, "rates end at 0"
    return True, False, "rates stay above a bound"


class Plateau:
    """A factor of the learning rate that falls when the validation loss no longer does.

    The rule of torch's ReduceLROnPlateau with a threshold of 0: after more than `plateau_patience` epochs
    without a new lowest loss the factor falls, and the count starts anew. For other schedules it stays 1.
    """

    def __init__(self, options: Options) -> None:
        self.factor = 1.0
        self._drop = options.step_factor if options.schedule == "plateau" else 1.0
        self._patience = options.plateau_patience
        self._best, self._waited = math.inf, 0

    def observe(self, value: float) -> None:
        """Take note of the validation loss of an epoch."""
        self._waited = 0 if value < self._best else self._waited + 1
        self._best = min(value, self._best)
        if self._waited > self._patience:
            self.factor, self._waited = self.factor * self._drop, 0

    def state(self) -> dict[str, float | int]:
        """What a checkpoint must hold."""
        return {"factor": self.factor, "best": self._best, "waited": self._waited}

    def restore(self, state: Mapping[str, float | int]) -> None:
        """Go on from there."""
        self.factor, self._best, self._waited = state["factor"], state["best"], int(state["waited"])
