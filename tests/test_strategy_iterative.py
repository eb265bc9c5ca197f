"""Iterative sweeps in closed loop: what they launch and decide, whatever ends first and whoever restarts."""

import math
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersweep import strategy
from hypersweep.journal import Decided, History
from hypersweep.strategy.position import Kind
from hypersweep.trial import End, Suggestion
from tests.simulation import Outcome, Simulation, a_sweep, noise

PARAMETERS: list[dict[str, Any]] = [
    {"name": "optimizer", "choice": ["sgd", "adamw"], "start": "adamw"},
    {
        "name": "lr",
        "cases": [
            {"when": {"optimizer": ["sgd"]}, "float": {"min": 1e-3, "max": 1, "scale": "log"}, "start": 0.1},
            {
                "when": {"optimizer": ["adamw"]},
                "float": {"min": 1e-5, "max": 1e-1, "scale": "log"},
                "start": 1e-4,
            },
        ],
    },
    {"name": "layers", "choice": [[32], [64, 64], [128]], "start": [64, 64]},
    {"name": "depth", "int": {"min": 1, "max": 5}, "start": 2},
]
STAGES: list[dict[str, Any]] = [
    {"parameters": ["optimizer"], "retune": ["lr"]},
    {"parameters": ["lr"], "search": {"grid": {"perDecade": 1}}},
    {"parameters": ["lr"], "narrow": 10},
    {"parameters": ["layers"]},
    {"parameters": ["depth"]},
    {"parameters": ["depth", "lr"], "search": {"random": {}}},
]
LEAST = {"minImprovement": {"absolute": 0.001}}


def learned(suggestion: Suggestion) -> float:
    """sgd wants a large learning rate, adamw a small one and is better then; so are depth 4 and 128 units."""
    values: Any = suggestion.parameters
    best, top = {"sgd": (-0.5, 0.88), "adamw": (-2.6, 0.93)}[values["optimizer"]]
    lost = 0.03 * (math.log10(values["lr"]) - best) ** 2 + 0.02 * abs(values["depth"] - 4)
    return top - lost + 0.03 * (values["layers"] == (128,)) + noise(suggestion, 0.003)


def a_simulation(
    function: Any = learned,
    stages: list[dict[str, Any]] = STAGES,
    final: int | None = 3,
    least: dict[str, Any] | None = None,
    how: dict[str, Any] | None = None,
    **spec: Any,
) -> Simulation:
    iterative = {"stages": stages, **({"final": {"seeds": final}} if final else {}), **(least or {})}
    return Simulation(a_sweep({"iterative": iterative}, PARAMETERS, **spec), function, **(how or {}))


def ran(function: Any = learned, **arguments: Any) -> Simulation:
    simulation = a_simulation(function, **arguments)
    simulation.run()
    return simulation


def told(decision: Decided) -> tuple[object, ...]:
    """A decision without the numbers of trials, which alone depend on the order of launches."""
    return decision.stage, decision.round, decision.kind, decision.adopted, decision.parameters, decision.why


def decided(simulation: Simulation, kind: Kind = Kind.ADOPT, stage: int = 0) -> Decided:
    return next(d for d in simulation.decisions if (d.kind, d.stage) == (kind, stage))


# -- the whole way


def test_it_finds_its_way_from_a_poor_start() -> None:
    simulation = ran()

    chosen = strategy.chosen(simulation.spec, simulation.history)
    assert chosen is not None
    assert ["adamw", 4, [128]] == [chosen["parameters"][name] for name in ("optimizer", "depth", "layers")]
    assert 10**-3.2 < chosen["parameters"]["lr"] < 10**-2
    assert chosen["interval"][0] > 2 * chosen["standardError"] > 0


def test_the_first_trial_is_the_start() -> None:
    first = ran().suggestions[0]

    assert {"depth": 2, "layers": (64, 64), "lr": 1e-4, "optimizer": "adamw"} == first.parameters


def test_no_run_is_repeated() -> None:
    runs = [(suggestion.configuration, suggestion.seed) for suggestion in ran().suggestions]

    assert len(set(runs)) == len(runs)


def test_every_trial_says_what_was_held_and_which_decision_set_it() -> None:
    simulation = ran()

    for suggestion in simulation.suggestions:
        assert suggestion.base is not None
        number = suggestion.base["decision"]
        held = simulation.spec.space.start() if number is None else simulation.decisions[number].parameters
        assert all(suggestion.parameters[name] == held[name] for name in suggestion.base["held"])


UNDISTURBED = ran()


@settings(max_examples=5, deadline=None)
@given(order=st.integers(0, 10**6), parallelism=st.integers(1, 9))
def test_order_parallelism_and_restarts_change_no_slot_and_no_decision(order: int, parallelism: int) -> None:
    other = ran(how={"order": Random(order), "restart": True, "parallelism": parallelism})

    assert UNDISTURBED.slots == other.slots
    assert list(map(told, UNDISTURBED.decisions)) == list(map(told, other.decisions))


@settings(max_examples=5, deadline=None)
@given(order=st.integers(0, 10**6), fate=st.integers(0, 10**6))
def test_nor_do_failures_and_infeasible_runs(order: int, fate: int) -> None:
    def unlucky(suggestion: Suggestion) -> Outcome:
        chance = Random(f"{fate}:{suggestion.seed}:{suggestion.configuration}").random()
        return End.ERROR if chance < 0.1 else End.INFEASIBLE if chance < 0.2 else learned(suggestion)

    one, other = a_simulation(unlucky), a_simulation(unlucky, how={"order": Random(order), "restart": True})

    assert one.run().reason == other.run().reason
    assert one.slots == other.slots
    assert list(map(told, one.decisions)) == list(map(told, other.decisions))


def test_a_round_that_is_asked_for_in_pieces_is_the_same_round() -> None:
    whole, pieces = a_simulation(), a_simulation(how={"parallelism": 1})
    whole.tick()
    while len(pieces.suggestions) < len(whole.suggestions):
        pieces.tick()

    assert whole.suggestions == pieces.suggestions


# -- rounds


def test_a_stage_of_few_arms_compares_all_of_them_on_all_seeds() -> None:
    simulation = ran(stages=[{"parameters": ["layers"]}], final=None)

    assert [Kind.ADOPT] == [decision.kind for decision in simulation.decisions]
    assert 3 * 3 == len(simulation.suggestions)
    assert [3, 3, 3] == [arm["n"] for arm in simulation.decisions[0].numbers["arms"]]


def test_of_many_arms_the_best_three_meet_the_incumbent_on_the_remaining_seeds() -> None:
    simulation = ran(stages=[{"parameters": ["depth"]}], final=None)

    assert [Kind.SHORTLIST, Kind.ADOPT] == [decision.kind for decision in simulation.decisions]
    numbers = simulation.decisions[1].numbers
    assert [2, 3, 4, 5] == sorted(arm["parameters"]["depth"] for arm in numbers["arms"])
    assert ([1, 2], 3) == (numbers["replicates"], numbers["challengers"])
    assert 5 + 4 * 2 == len(simulation.suggestions)


def test_retuning_finds_each_optimizers_own_learning_rate() -> None:
    simulation = ran(stages=STAGES[:1], final=None)

    arms = {arm["parameters"]["optimizer"]: arm for arm in decided(simulation).numbers["arms"] if arm["arm"]}
    assert 0.1 < arms["sgd"]["parameters"]["lr"] <= 1
    assert 1e-3 <= arms["adamw"]["parameters"]["lr"] <= 1e-2
    assert {"depth": 2, "layers": [64, 64]} == decided(simulation).numbers["fixed"]


def test_the_incumbents_runs_are_reused_in_later_stages() -> None:
    simulation = ran(stages=[{"parameters": ["layers"]}, {"parameters": ["layers"]}], final=None)

    assert 0 == decided(simulation, stage=1).numbers["runs"]


def test_one_seed_decides_by_the_least_gain_alone_and_says_so() -> None:
    simulation = ran(stages=[{"parameters": ["depth"]}], final=None, seeds=1, least=LEAST)

    decision = decided(simulation)
    assert 5 == len(simulation.suggestions)
    assert 4 == decision.parameters["depth"]
    assert decision.numbers["noise"] is None
    assert "the noise is unknown" in decision.why


def test_a_decision_reads_as_a_sentence() -> None:
    decision = decided(ran(stages=[{"parameters": ["layers"]}], final=None))

    gain = next(arm for arm in decision.numbers["arms"] if arm["parameters"]["layers"] == [128])
    expected = (
        f"adopted layers=[128]: score {gain['gain']:+.4g} ± {gain['standardError']:.2g} "
        f"over layers=[64, 64], above the noise (threshold {decision.numbers['threshold']:.3g})"
    )
    assert expected == decision.why


def test_when_less_is_better_the_sentence_shows_the_metric_falling() -> None:
    simulation = ran(lambda s: -learned(s), stages=[{"parameters": ["layers"]}], final=None, goal="minimize")

    assert "adopted layers=[128]: score -0.0" in decided(simulation).why


def test_a_stage_without_another_value_is_decided_at_once() -> None:
    momentum = {
        "name": "momentum",
        "cases": [{"when": {"optimizer": ["sgd"]}, "float": {"min": 0, "max": 1}}],
    }
    spec = a_sweep({"iterative": {"stages": [{"parameters": ["momentum"]}]}}, [PARAMETERS[0], momentum])
    simulation = Simulation(spec, learned)
    simulation.run()

    assert "nothing to compare: momentum has no effect beside the other values" == decided(simulation).why
    assert not simulation.suggestions


# -- what goes wrong


def test_an_infeasible_start_gives_way_to_the_best_feasible_arm() -> None:
    def diverging(suggestion: Suggestion) -> Outcome:
        return End.INFEASIBLE if suggestion.parameters["depth"] == 2 else learned(suggestion)

    simulation = ran(diverging, stages=[{"parameters": ["depth"]}], final=None)

    assert (4, True) == (decided(simulation).parameters["depth"], decided(simulation).adopted)


def test_no_feasible_arm_ends_the_sweep() -> None:
    simulation = a_simulation(lambda suggestion: End.INFEASIBLE)

    finish = simulation.run()

    assert ("NoFeasibleArm", True) == (finish.reason, finish.failed)
    assert finish.message.startswith(f"{simulation.decisions[-1].why}: Infeasible (")


def test_a_failed_replicate_leaves_a_comparison_on_the_others() -> None:
    def unlucky(suggestion: Suggestion) -> Outcome:
        failed = suggestion.parameters["layers"] == (128,) and suggestion.replicate == 1
        return End.ERROR if failed else learned(suggestion)

    simulation = ran(unlucky, stages=[{"parameters": ["layers"]}], final=None)

    arm = next(arm for arm in decided(simulation).numbers["arms"] if arm["parameters"]["layers"] == [128])
    assert (2, 2) == (arm["n"], arm["compared"])


# -- the end


def test_the_final_runs_use_seeds_that_nothing_was_chosen_by() -> None:
    simulation = ran()

    final = [s for s in simulation.suggestions if s.final]
    searched = {s.seed for s in simulation.suggestions if not s.final}
    assert 6 == len(final)
    assert not searched & {s.seed for s in final}
    assert {3, 4, 5} == {s.replicate for s in final}


def test_the_final_gain_is_the_mean_of_paired_differences() -> None:
    simulation = ran()

    chosen = strategy.chosen(simulation.spec, simulation.history)
    assert chosen is not None
    by_seed: dict[int, list[float]] = {}
    for trial in simulation.history.trials.values():
        if trial.suggestion.final:
            by_seed.setdefault(trial.suggestion.seed, []).append(trial.metrics["score"])
    differences = [ours - theirs for ours, theirs in by_seed.values()]
    assert sum(differences) / 3 == pytest.approx(chosen["gain"])
    assert chosen["gain"] == pytest.approx(sum(chosen["interval"]) / 2)
    assert 3 == chosen["n"]


def test_a_start_that_nothing_beats_is_run_once_per_fresh_seed() -> None:
    simulation = ran(lambda suggestion: noise(suggestion, 0.1), stages=[{"parameters": ["layers"]}])

    assert 3 == sum(suggestion.final for suggestion in simulation.suggestions)
    assert "nothing was found that beats the start" in simulation.decisions[-1].why


def test_a_target_skips_the_remaining_stages_but_not_the_final_runs() -> None:
    simulation = a_simulation(stages=[{"parameters": ["layers"]}, *STAGES], target=0.85)

    finish = simulation.run()

    assert "TargetReached" == finish.reason
    assert [Kind.ADOPT, Kind.FINAL] == [decision.kind for decision in simulation.decisions]


def test_the_plan_never_falls_short_and_is_exact_in_the_end() -> None:
    simulation = a_simulation(how={"order": Random(3), "parallelism": 4})
    forecasts = [strategy.planned(simulation.spec, History())]
    while strategy.ended(simulation.spec, simulation.history) is None:
        simulation.tick()
        forecasts.append(strategy.planned(simulation.spec, simulation.history))

    total = simulation.history.launched
    assert all(forecast is not None and forecast >= total for forecast in forecasts)
    assert total == forecasts[-1]
