"""Learning rates and batch sizes by trial: functions of what a step or an attempt answers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

DECAY = 0.9  # of the running mean of the losses
WORSE = 4.0  # times the lowest mean so far: the test ends
FIRST = 10  # points that the mean is too young at
SPAN = 8  # points to each side over which a slope is taken: half a decade of 100 points over seven


@dataclass(frozen=True)
class Range:
    """What a range test saw, and the rate that it suggests."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]  # their running mean at each rate
    suggestion: float | None  # None where the loss never fell


def range_test(
    step: Callable[[float], float], low: float = 1e-6, high: float = 10.0, points: int = 100
) -> Range:
    """Steps at rates that grow by one factor from `low` to `high`, until the loss is four times its lowest.

    `step` trains one step at a rate and returns the loss before it; keeping and restoring what it changes is
    for the caller. The suggestion is where the mean loss falls fastest (arXiv 1506.01186, 1803.09820).
    """
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    for number in range(points):
        rate = low * (high / low) ** (number / (points - 1))
        loss = step(rate)
        mean = DECAY * mean + (1 - DECAY) * loss
        corrected = mean / (1 - DECAY ** (number + 1))  # for it began at 0
        if not math.isfinite(loss) or corrected > WORSE * min(losses, default=math.inf):
            break
        rates.append(rate)
        losses.append(corrected)
    return Range(tuple(rates), tuple(losses), _steepest(rates, losses))


def _steepest(rates: list[float], losses: list[float]) -> float | None:
    inner = range(FIRST + SPAN, len(rates) - SPAN)
    falls = {number: losses[number - SPAN] - losses[number + SPAN] for number in inner}
    best = max(falls, key=falls.__getitem__, default=None)
    return rates[best] if best is not None and falls[best] > 0 else None


def largest_batch(fits: Callable[[int], bool], limit: int) -> int:
    """The largest power of two up to `limit` that fits, asked from 1 upwards; 0 where one row does not.

    Twice as much does not fit. What lies between is not searched: it would save less than a factor of 2, and
    sizes that are powers of two suit devices and are the same on machines that differ a little.
    """
    size = 0
    while (larger := max(2 * size, 1)) <= limit and fits(larger):
        size = larger
    return size
