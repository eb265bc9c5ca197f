"""The range test ends where a quadratic becomes unstable; the largest batch is a power of two that fits."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from hypersweep_trainer.finder import largest_batch, range_test

CURVATURES = np.geomspace(0.01, 10, 50)  # the steepest direction is stable below a rate of 2 / 10


def a_quadratic(seed: int, noise: float = 1.0) -> Callable[[float], float]:
    """Gradient steps on curvatures up to 10, where each batch has an optimum of its own."""
    rng = np.random.default_rng(seed)
    weights = 3 * rng.standard_normal(len(CURVATURES))

    def step(rate: float) -> float:
        nonlocal weights
        error = weights - noise * rng.standard_normal(len(CURVATURES))
        weights = weights - rate * CURVATURES * error
        return float((CURVATURES * error**2).sum() / 2)

    return step


@pytest.mark.parametrize(("rate", "loss"), [(0.199, 6.6e-3), (0.201, 1.4e2)])
def test_a_quadratic_is_stable_below_two_over_its_curvature(rate: float, loss: float) -> None:
    weight = 1.0
    for _ in range(500):
        weight -= rate * 10 * weight

    assert loss == pytest.approx(abs(weight), rel=0.05)


@pytest.mark.parametrize("seed", range(20))
def test_the_range_ends_where_steps_diverge_and_suggests_a_stable_rate(seed: int) -> None:
    found = range_test(a_quadratic(seed))

    assert 0.2 < found.rates[-1] < 0.6
    assert found.suggestion is not None
    assert 0.002 < found.suggestion < 0.2


def test_rates_grow_by_one_factor() -> None:
    found = range_test(lambda rate: 1.0, 1e-4, 1.0, 41)

    assert pytest.approx(10**0.1) == found.rates[1] / found.rates[0]
    assert pytest.approx((1e-4, 1.0)) == (found.rates[0], found.rates[-1])
    assert 41 == len(found.rates)


def test_the_mean_of_equal_losses_is_that_loss_from_the_first_point_on() -> None:
    assert pytest.approx([2.5] * 100) == list(range_test(lambda rate: 2.5).losses)


def test_a_loss_that_never_falls_suggests_nothing() -> None:
    assert range_test(lambda rate: 1.0 + rate).suggestion is None
    assert range_test(lambda rate: math.nan).suggestion is None


def test_it_ends_at_the_first_loss_that_is_no_number() -> None:
    found = range_test(lambda rate: math.inf if rate > 0.1 else 1.0 - rate, 1e-4, 1.0, 41)

    assert pytest.approx(0.1) == found.rates[-1]


def test_equal_steps_find_equal_rates() -> None:
    assert range_test(a_quadratic(5)) == range_test(a_quadratic(5))


@pytest.mark.parametrize(("capacity", "limit", "expected"), [
    (1000, 4096, 512), (512, 4096, 512), (511, 4096, 256), (10**9, 1000, 512),
    (1, 64, 1), (0, 64, 0), (9, 1, 1),
])  # fmt: skip
def test_the_largest_batch_fits_and_its_double_does_not(capacity: int, limit: int, expected: int) -> None:
    asked = []

    def fits(rows: int) -> bool:
        asked.append(rows)
        return rows <= capacity

    assert expected == largest_batch(fits, limit)
    assert asked == sorted(set(asked))
    assert max(asked) <= limit
