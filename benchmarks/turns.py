"""Measurements that take turns, so that a slow moment hits all of them, and the ratios between them."""

from collections.abc import Callable, Sequence
from statistics import median, quantiles

ROUNDS = 20


def turns(*works: Callable[[], float], rounds: int = ROUNDS) -> list[list[float]]:
    """What each work measured, round by round, after one round for imports and caches; they rotate."""
    for work in works:
        work()
    found: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        for place in range(len(works)):
            which = (number + place) % len(works)
            found[which].append(works[which]())
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float], bar: float | None = None) -> str:
    """The median of the ratios within each round, and their quartiles."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    reach = "" if bar is None else f", to reach: {bar:g}"
    return f"{middle:.3f} (quartiles {low:.3f} to {high:.3f} of {len(ratios)} rounds){reach}"


def time(seconds: Sequence[float]) -> str:
    """Their median, in a unit that suits it."""
    middle = median(seconds)
    return f"{middle:.2f} s" if middle >= 1 else f"{middle * 1e3:.3g} ms"
