"""Ranges that were too small: the best of a sweep lies at an end, where the option could go on."""

from collections.abc import Callable
from typing import Any

import pytest

from hypersweep import boundary
from hypersweep.api import SweepSpec
from hypersweep.boundary import Edge, edge
from hypersweep.journal import Ended, History, Launched
from hypersweep.space import Float, Int
from hypersweep.trial import End, Suggestion
from tests.bench import a_built_in
from tests.simulation import NOW, Outcome, Simulation, a_sweep

LOG = Float(1e-3, 1e-1, "log")
LR = {"name": "lr", "float": {"min": 1e-3, "max": 1e-1, "scale": "log"}}


@pytest.mark.parametrize(
    ("domain", "value", "at"),
    [
        (LOG, 0.098, Edge.UPPER),  # 0.996 of the two decades
        (LOG, 0.0795, Edge.UPPER),  # 0.9502
        (LOG, 0.0793, None),  # 0.9496, and 0.79 of the range if it were linear
        (LOG, 0.00125, Edge.LOWER),  # 0.0485
        (LOG, 0.0013, None),  # 0.057
        (Float(0, 10), 9.5, Edge.UPPER),
        (Float(0, 10), 9.49, None),
        (Float(-10, 10), -9.0, Edge.LOWER),
        (Float(-10, 10), -8.9, None),
        (Float(0, 1, step=0.3), 0.9, Edge.UPPER),  # the last step, below the maximum
        (Float(0, 1, step=0.3), 0.6, None),
        (Int(1, 4), 4, Edge.UPPER),
        (Int(1, 4), 3, None),
        (Int(8, 512, "log"), 8, Edge.LOWER),
        (Int(8, 512, "log"), 32, None),
    ],
)
def test_an_end_is_a_twentieth_of_the_range_on_its_own_scale(
    domain: Float | Int, value: float, at: Edge | None
) -> None:
    assert edge(domain, value) is at


def ran(spec: SweepSpec, function: Callable[[Suggestion], Outcome]) -> History:
    simulation = Simulation(spec, function)
    simulation.run()
    return simulation.history


def of(name: str, best: float) -> Callable[[Suggestion], Outcome]:
    """A score that is the higher the nearer a parameter is to its best value."""

    def score(suggestion: Suggestion) -> Outcome:
        value = suggestion.parameters.get(name, 0)
        assert isinstance(value, int | float)
        return -abs(value - best)

    return score


def told(strategy: dict[str, Any], parameters: list[Any], name: str, best: float, **spec: Any) -> list[str]:
    sweep = a_sweep(strategy, parameters, **spec)
    return boundary.found(sweep, ran(sweep, of(name, best)))


@pytest.mark.parametrize(
    ("best", "said"),
    [
        (1.0, ["best lr 0.1 lies at the upper end of 0.001 to 0.1: widen it"]),
        (0.0, ["best lr 0.001 lies at the lower end of 0.001 to 0.1: widen it"]),
        (0.01, []),
    ],
)
def test_the_best_of_a_grid_lies_at_its_first_or_last_value(best: float, said: list[str]) -> None:
    assert said == told({"grid": {"perDecade": 2}}, [LR], "lr", best)


def test_a_grid_of_two_values_has_nothing_but_ends() -> None:
    assert [] == told({"grid": {"points": 2}}, [LR], "lr", 1.0)


def test_a_value_of_a_fine_grid_that_beats_those_beyond_it_is_no_end() -> None:
    assert [] == told({"grid": {"points": 41}}, [LR], "lr", 0.0891)


def drawn(values: list[float], spec: SweepSpec) -> History:
    """A random sweep that drew these values of `lr`, each better than the one before."""
    facts: list[Any] = []
    for number, value in enumerate(values):
        facts.append(Launched(NOW, number, 0, Suggestion({"lr": value}, 1, draw=number)))
        facts.append(Ended(NOW, number, 0, End.DONE, True, metrics={"score": number, "val_loss": -number}))
    return History().fold(facts)


@pytest.mark.parametrize(("draws", "tells"), [(9, False), (10, True)])
def test_few_random_draws_tell_nothing(draws: int, tells: bool) -> None:
    spec = a_sweep({"random": {}}, [LR], maxTrials=draws)
    history = drawn([0.1, *(0.002 * (n + 1) for n in range(draws - 2)), 0.098], spec)

    expected = ["best lr 0.098 lies at the upper end of 0.001 to 0.1: widen it"] if tells else []
    assert expected == boundary.found(spec, history)


@pytest.mark.parametrize(("high", "tells"), [(0.95, False), (0.5, True)])
def test_where_an_option_of_the_trainer_ends_no_range_can_be_widened(high: float, tells: bool) -> None:
    text = f"""
apiVersion: hypersweep.io/v1alpha1
kind: HyperSweep
metadata: {{name: built-in}}
spec:
  objectives: [{{metric: val_loss, goal: minimize}}]
  parameters: [{{name: dropout, float: {{min: 0, max: {high}}}}}]
  strategy: {{grid: {{points: 5}}}}
"""
    spec = a_built_in("data: digits, model: mlp", text)

    def swept(best: float) -> list[str]:
        facts: list[Any] = []
        for n in range(5):
            value = n * high / 4
            facts.append(Launched(NOW, n, 0, Suggestion({"dropout": value}, 1, draw=n)))
            metrics = {"val_loss": abs(value - best)}
            facts.append(Ended(NOW, n, 0, End.DONE, True, metrics=metrics))
        return boundary.found(spec, History().fold(facts))

    assert [] == swept(0.0)
    assert tells == bool(swept(high))


def test_a_choice_has_no_ends() -> None:
    assert [] == told({"grid": {}}, [{"name": "lr", "choice": [0.001, 0.01, 0.1]}], "lr", 1.0)


def test_each_branch_has_its_own_range() -> None:
    cases = [
        {"when": {"optimizer": ["sgd"]}, "float": {"min": 0.01, "max": 1}},
        {"when": {"optimizer": ["adamw"]}, "float": {"min": 0.001, "max": 0.1}},
    ]
    parameters = [{"name": "optimizer", "choice": ["sgd", "adamw"]}, {"name": "lr", "cases": cases}]

    inside = told({"grid": {"points": 12}}, parameters, "lr", 0.1)  # a value of sgd; the end of adamw
    upper = told({"grid": {"points": 3}}, parameters, "lr", 2.0)

    assert [] == inside
    assert ["best lr 1 lies at the upper end of 0.01 to 1: widen it"] == upper


@pytest.mark.parametrize(
    ("best", "said"),
    [(1.0, ["best lr 0.1 lies at the upper end of 0.001 to 0.1: widen it"]), (0.01, [])],
)
def test_the_chosen_value_of_an_iterative_sweep_may_lie_at_an_end(best: float, said: list[str]) -> None:
    stages = [{"parameters": ["lr"]}, {"parameters": ["lr"], "narrow": 10}]

    assert said == told({"iterative": {"stages": stages}}, [LR], "lr", best)


def test_what_no_stage_searched_tells_nothing() -> None:
    depth = {"name": "depth", "int": {"min": 1, "max": 9}, "start": 9}

    assert [] == told({"iterative": {"stages": [{"parameters": ["lr"]}]}}, [LR, depth], "lr", 0.01)


def test_infeasible_values_beyond_it_show_that_a_best_lies_within() -> None:
    spec = a_sweep({"grid": {"points": 41}}, [LR])

    def diverging(suggestion: Suggestion) -> Outcome:
        value = suggestion.parameters["lr"]
        assert isinstance(value, float)
        return End.INFEASIBLE if value > 0.09 else value

    history = ran(spec, diverging)

    best = max(trial.metrics.get("score", 0) for trial in history.trials.values())
    assert edge(LOG, best) is Edge.UPPER
    assert [] == boundary.found(spec, history)


def test_what_does_as_well_within_the_range_leaves_nothing_to_widen() -> None:
    spec = a_sweep({"grid": {"points": 5}}, [LR])

    assert [] == boundary.found(spec, ran(spec, lambda suggestion: 1.0))
    assert 1 == len(boundary.found(spec, ran(spec, of("lr", 0.0))))


def test_a_sweep_without_a_result_has_no_best_value() -> None:
    spec = a_sweep({"grid": {"points": 5}}, [LR])

    assert [] == boundary.found(spec, ran(spec, lambda suggestion: End.INFEASIBLE))
