"""Lists, grids and random draws: the same trials in any order, and the best few on the other seeds."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersweep import strategy
from hypersweep.api import SweepSpec
from hypersweep.journal import History
from hypersweep.trial import End, Suggestion, scores
from tests.simulation import Outcome, Simulation, a_sweep

BRANCHES = [
    {"name": "optimizer", "choice": ["adamw", "sgd"]},
    {"name": "momentum", "cases": [{"when": {"optimizer": ["sgd"]}, "choice": [0, 0.9]}]},
    {"name": "depth", "int": {"min": 1, "max": 3}},
]
DEPTH = [{"name": "depth", "int": {"min": 1, "max": 9}}]
LR = [{"name": "lr", "float": {"min": 1e-4, "max": 1, "scale": "log"}}]


def depth(suggestion: Suggestion) -> Outcome:
    """Deeper is better, but the deepest does not fit; seeds shift everything a little."""
    value = suggestion.parameters["depth"]
    assert isinstance(value, int)
    return End.INFEASIBLE if value == 9 else value + suggestion.seed % 7 / 100


def anything(suggestion: Suggestion) -> Outcome:
    return Random(f"{suggestion.seed}:{suggestion.configuration}").random()


def run(spec: SweepSpec, function: Any = anything, **how: Any) -> Simulation:
    simulation = Simulation(spec, function, **how)
    simulation.run()
    return simulation


def configurations(simulation: Simulation) -> list[dict[str, Any]]:
    return [dict(suggestion.parameters) for suggestion in simulation.suggestions]


def test_a_list_runs_each_configuration_once_in_its_order() -> None:
    spec = a_sweep({"list": [{"lr": 0.1, "depth": 2}, {"lr": 0.2, "depth": 1}, {"depth": 2, "lr": 0.1}]})

    simulation = run(spec)

    assert [{"depth": 2, "lr": 0.1}, {"depth": 1, "lr": 0.2}] == configurations(simulation)


def test_a_grid_covers_each_branch_without_what_is_inactive_there() -> None:
    simulation = run(a_sweep({"grid": {}}, BRANCHES))

    adamw = [{"depth": depth, "optimizer": "adamw"} for depth in (1, 2, 3)]
    sgd = [{"depth": d, "momentum": m, "optimizer": "sgd"} for d in (1, 2, 3) for m in (0, 0.9)]
    assert sorted(map(str, adamw + sgd)) == sorted(map(str, configurations(simulation)))


def test_a_grid_takes_points_per_decade_of_log_ranges_and_all_values_of_the_others() -> None:
    simulation = run(a_sweep({"grid": {"perDecade": 1}}, [*DEPTH, *LR]))

    assert 9 * 5 == len(simulation.suggestions)
    assert {0.0001, 0.001, 0.01, 0.1, 1.0} == {found["lr"] for found in configurations(simulation)}


def test_random_draws_as_many_as_max_trials_allows() -> None:
    simulation = run_to_the_limit(a_sweep({"random": {}}, LR, maxTrials=12))

    assert 12 == len({suggestion.configuration for suggestion in simulation.suggestions})
    assert [*range(12)] == [suggestion.draw for suggestion in simulation.suggestions]


def run_to_the_limit(spec: SweepSpec) -> Simulation:
    simulation = Simulation(spec, anything)
    while simulation.history.launched < (spec.max_trials or 0):
        simulation.tick()
    return simulation


def test_random_ends_when_a_finite_space_has_no_more() -> None:
    simulation = Simulation(a_sweep({"random": {}}, BRANCHES, maxTrials=100), anything)

    finish = simulation.run()

    assert "SpaceExhausted" == finish.reason
    assert 9 == len({suggestion.configuration for suggestion in simulation.suggestions})
    assert 9 == len(simulation.suggestions)


@pytest.mark.parametrize("kind", ["grid", "random"])
@settings(max_examples=20, deadline=None)
@given(st.integers(1, 7), st.integers(0, 99))
def test_trials_depend_neither_on_order_nor_parallelism_nor_restarts(
    kind: str, parallelism: int, order: int
) -> None:
    spec = a_sweep({kind: {}}, BRANCHES, seeds=2, maxTrials=100)

    undisturbed = run(spec)
    other = run(spec, order=Random(order), restart=True, parallelism=parallelism)

    assert undisturbed.suggestions == other.suggestions


def test_the_best_four_run_the_remaining_seeds_and_only_they_are_compared() -> None:
    simulation = run(a_sweep({"grid": {}}, DEPTH, seeds=3), depth)

    replicated = {s.parameters["depth"] for s in simulation.suggestions if s.replicate > 0}
    complete = scores(simulation.history.trials.values(), simulation.spec.objective, 3)
    assert {5, 6, 7, 8} == replicated
    assert [8, 7, 6, 5] == [score.parameters["depth"] for score in complete]
    assert 9 + 4 * 2 == len(simulation.suggestions)


def test_replicates_wait_for_the_last_search_trial() -> None:
    simulation = Simulation(a_sweep({"grid": {}}, DEPTH, seeds=2), depth, order=Random(0))
    for _ in range(8):
        simulation.tick()

    assert not strategy.suggest(simulation.spec, simulation.history, 100)
    assert strategy.ended(simulation.spec, simulation.history) is None


def test_replicates_share_their_seed() -> None:
    simulation = run(a_sweep({"grid": {}}, DEPTH, seeds=3), depth)

    seeds: dict[int, set[int]] = {}
    for suggestion in simulation.suggestions:
        seeds.setdefault(suggestion.replicate, set()).add(suggestion.seed)
    assert [1, 1, 1] == [len(found) for found in seeds.values()]
    assert 3 == len(set.union(*seeds.values()))


@pytest.mark.parametrize(("most", "draws"), [(3, 1), (5, 3), (10, 6), (100, 92)])
def test_random_leaves_room_for_the_replicates_of_its_finalists(most: int, draws: int) -> None:
    simulation = run(a_sweep({"random": {}}, LR, seeds=3, maxTrials=most))

    assert draws == sum(suggestion.replicate == 0 for suggestion in simulation.suggestions)
    assert most == len(simulation.suggestions)


def test_a_raised_limit_draws_more_and_repeats_nothing() -> None:
    spec = a_sweep({"random": {}}, LR, seeds=2, maxTrials=20)
    simulation = run(spec)
    simulation.spec = spec.model_copy(update={"max_trials": 60})

    simulation.run()

    runs = [(suggestion.configuration, suggestion.seed) for suggestion in simulation.suggestions]
    assert len(set(runs)) == len(runs)
    assert len(runs) > 40


def test_the_number_of_planned_trials_is_known_from_the_start() -> None:
    spec = a_sweep({"grid": {}}, DEPTH, seeds=3)

    planned = strategy.planned(spec, History())

    assert len(run(spec, depth).suggestions) == planned
    assert strategy.planned(a_sweep({"random": {}}, LR, target=1.0), History()) is None


def test_failed_trials_are_no_finalists() -> None:
    def failing(suggestion: Suggestion) -> Outcome:
        return End.ERROR if suggestion.parameters["depth"] != 2 else 1.0

    simulation = run(a_sweep({"grid": {}}, DEPTH, seeds=3, maxFailedTrials=100), failing)

    assert 9 + 2 == len(simulation.suggestions)
