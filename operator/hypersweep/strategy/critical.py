"""The critical value of comparing several challengers with one incumbent (Dunnett 1955), one-sided."""

import math
from functools import lru_cache
from statistics import NormalDist

ALPHA = 0.10  # how often one of several challengers without an effect may be adopted
NODES = 120  # of the outer integral: five digits and more, checked against published tables
WIDTH = 6.0  # standard deviations of the inner one
STEP = 0.5  # the trapezoidal rule converges exponentially on a Gaussian: this is far beyond need


@lru_cache(maxsize=1024)
def critical_value(challengers: int, freedom: int, alpha: float = ALPHA) -> float:
    """What the largest of so many studentised gains over one incumbent exceeds with probability `alpha`.

    The gains share the incumbent's runs, so their correlation is 1/2; with one challenger this is the
    upper quantile of Student's t.
    """
    low, high = 0.0, 1.0
    while _excess(high, challengers, freedom, alpha) > 0:
        low, high = high, high * 2
    below, above = (_excess(end, challengers, freedom, alpha) for end in (low, high))
    side = 0
    while high - low > 1e-9:
        value = (low * above - high * below) / (above - below)
        excess = _excess(value, challengers, freedom, alpha)
        if abs(excess) < 1e-12:
            return value
        # false position; an end that stays twice in a row counts half (Illinois), or it would stay for long
        if excess > 0:
            low, below, above, side = value, excess, above / 2 if side > 0 else above, 1
        else:
            high, above, below, side = value, excess, below / 2 if side < 0 else below, -1
    return (low + high) / 2


def _excess(value: float, challengers: int, freedom: int, alpha: float) -> float:
    """By how much the chance of exceeding a value is too large."""
    return 1 - alpha - _below(value, challengers, freedom)


def _below(value: float, challengers: int, freedom: int) -> float:
    """The probability that no studentised gain exceeds a value: an integral over the estimated noise."""
    return sum(weight * _all_below(value * noise, challengers) for noise, weight in _noises(freedom))


@lru_cache(maxsize=256)
def _noises(freedom: int) -> list[tuple[float, float]]:
    """Estimated over true noise, and its probabilities: chi over the root of its degrees of freedom.

    Nodes are even in the logarithm, where the density falls off fast on both sides.
    """
    spread = WIDTH / math.sqrt(2 * freedom)
    low, high = -(spread + 2.5 * WIDTH / freedom), spread
    logarithms = [low + (high - low) * index / NODES for index in range(NODES + 1)]
    densities = [math.exp(freedom * (x - math.exp(2 * x) / 2)) for x in logarithms]
    total = sum(densities)
    return [(math.exp(x), density / total) for x, density in zip(logarithms, densities, strict=True)]


def _all_below(value: float, challengers: int) -> float:
    """The same when the noise is known: an integral over the incumbent, which all gains share."""
    return sum(weight * _normal(math.sqrt(2) * value + x) ** challengers for x, weight in _INCUMBENT)


def _normal(value: float) -> float:
    return math.erfc(-value / math.sqrt(2)) / 2


def _gaussian() -> list[tuple[float, float]]:
    points = [index * STEP for index in range(-round(WIDTH / STEP), round(WIDTH / STEP) + 1)]
    return [(x, NormalDist().pdf(x) * STEP) for x in points]


_INCUMBENT = _gaussian()
