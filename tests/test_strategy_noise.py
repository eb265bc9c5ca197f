"""How often an iterative sweep is fooled by noise, and how often it sees a real effect: simulated sweeps."""

import math
from collections import Counter
from random import Random
from typing import Any

from hypersweep.trial import Suggestion
from tests.simulation import Simulation, a_sweep

SWEEPS = 300
NOISE = 1.0
SEEDS = 3
EFFECT = 3 * NOISE * math.sqrt(2 / SEEDS)  # three standard errors of a paired difference
TWO: dict[str, Any] = {"name": "two", "choice": ["a", "b"]}
FOUR: dict[str, Any] = {"name": "four", "choice": ["a", "b", "c", "d"]}
RANGE: dict[str, Any] = {"name": "range", "float": {"min": 0, "max": 1}}


def adoption(parameters: list[dict[str, Any]], effect: dict[str, float]) -> dict[str, float]:
    """The share of sweeps in which each stage adopts; `effect` is what the value b of a parameter gains."""
    names = [parameter["name"] for parameter in parameters]
    spec = a_sweep(
        {"iterative": {"stages": [{"parameters": [name]} for name in names]}}, parameters, seeds=SEEDS
    )
    adopted: Counter[str] = Counter()
    for sweep in range(SWEEPS):

        def measured(suggestion: Suggestion, sweep: int = sweep) -> float:
            # the seed moves every configuration alike, and each of them a little by itself
            shared = Random(f"{sweep}/{suggestion.seed}").gauss(0, 5 * NOISE)
            own = Random(f"{sweep}/{suggestion.seed}/{suggestion.configuration}").gauss(0, NOISE)
            return (
                shared
                + own
                + sum(effect[n] for n, v in suggestion.parameters.items() if n in effect and v == "b")
            )

        simulation = Simulation(spec, measured)
        simulation.run()
        adopted.update(decision.name for decision in simulation.decisions if decision.adopted)
    rates = {name: adopted[name] / SWEEPS for name in names}
    for name, rate in rates.items():
        print(f"{effect.get(name, 0):5.2f} gained by {name:6} adopted in {rate:6.1%} of {SWEEPS} sweeps")
    return rates


def test_a_stage_without_an_effect_adopts_in_a_tenth_of_the_sweeps_at_most() -> None:
    rates = adoption([TWO, FOUR, RANGE], {})

    assert all(rate <= 0.10 + 2 * chance(0.10) for rate in rates.values()), rates


def test_an_effect_of_three_standard_errors_is_adopted_in_four_fifths_at_least() -> None:
    rates = adoption([TWO], {"two": EFFECT}) | adoption([FOUR], {"four": EFFECT})

    assert all(rate >= 0.80 for rate in rates.values()), rates


def chance(rate: float) -> float:
    """One standard deviation of what is counted in so many sweeps."""
    return math.sqrt(rate * (1 - rate) / SWEEPS)
