"""The checks of a sweep's first trial: recorded, and ending the sweep only when it is asked to."""

from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from hypersweep.goal import SweepPhase
from hypersweep.journal import Ended
from hypersweep.runner import Metric, Phase, Result
from hypersweep.table import conclusion
from hypersweep.trial import Checks, End, Suggestion
from hypersweep.view import Lines
from tests.bench import BUILT_IN, Bench, a_built_in, a_spec
from tests.world import World

BAD = Checks(3, ("initial_loss: it is 9.1 instead of 2.3",))


def checked(checks: Checks | None = BAD, status: str = "done") -> Callable[[Suggestion], Result]:
    return lambda suggestion: Result(status, {"val_loss": Metric(1.0)}, checks=checks)


def test_a_failed_check_before_training_ends_the_sweep_if_it_is_asked_to() -> None:
    bench = Bench(a_built_in("data: digits, checks: stop"), World(checked(status="infeasible")))

    step = bench.run()

    assert (SweepPhase.FAILED, "ChecksFailed", BAD.failed[0]) == (
        step.plan.phase,
        step.plan.reason,
        step.plan.message,
    )
    assert [(0, 0)] == bench.world.starts


def test_a_failed_check_after_training_stops_what_runs_already() -> None:
    bench = Bench(a_built_in("data: digits, checks: stop"), World(checked()))
    bench.step()
    bench.world.tick()  # trial 0 reports, and ends
    bench.world.live[0, 0] = replace(bench.world.live[0, 0], phase=Phase.RUNNING)
    bench.step()
    assert 3 == len(bench.world.alive)

    bench.world.end((0, 0))
    step = bench.run()

    assert (SweepPhase.FAILED, "ChecksFailed") == (step.plan.phase, step.plan.reason)
    assert ([], 3) == (bench.world.alive, len(bench.world.starts))
    assert {End.DONE: 1, End.SUSPENDED: 2} == step.plan.history.ends


@pytest.mark.parametrize("mode", ["warn", "off"])
def test_a_failed_check_otherwise_ends_nothing(mode: str) -> None:
    bench = Bench(a_built_in(f"data: digits, checks: '{mode}'"), World(checked()))

    step = bench.run(restart=True)

    assert (SweepPhase.SUCCEEDED, 5) == (step.plan.phase, len(bench.world.starts))
    assert (BAD if mode == "warn" else None) == step.plan.history.trials[0].checks


def test_only_the_first_trial_s_checks_are_recorded() -> None:
    bench = Bench(a_built_in(), World(checked()))
    bench.run()

    assert [0] == [fact.trial for fact in bench.facts(Ended) if fact.checks]


def test_a_script_of_one_s_own_has_no_checks() -> None:
    container = "{podTemplate: {spec: {containers: [{name: trial, command: [train]}]}}}"
    bench = Bench(a_spec(f"{BUILT_IN}  trial: {container}\n"), World(checked()))

    step = bench.run()

    assert (SweepPhase.SUCCEEDED, None) == (step.plan.phase, step.plan.history.trials[0].checks)


def printed(bench: Bench) -> str:
    """What a person reads of a run from its beginning to its end."""
    out = StringIO()
    console = Console(file=out, width=200)
    before = bench.sweep.history
    lines = Lines(bench.spec, console, before)
    while True:
        step = bench.step()
        lines.show(step)
        if step.plan.phase.terminal:
            break
        bench.world.tick()
    console.print(*conclusion(bench.spec, step.plan.history, True, before), sep="\n")
    return out.getvalue()


def test_what_checks_say_is_printed_at_once_and_not_again_under_the_last_trial() -> None:
    checks = Checks(3, BAD.failed, ("gap: overfit",))
    bench = Bench(a_built_in(), World(checked(checks)))
    said = printed(bench).splitlines()
    sentences = [f"check failed: {BAD.failed[0]}", "hint: gap: overfit"]

    assert sentences == [line for line in said[:4] if line in sentences]
    assert [1, 1] == [said.count(sentence) for sentence in sentences]
    history = bench.sweep.history
    for lines in (conclusion(bench.spec, history, True), conclusion(bench.spec, history, True, history)):
        assert sentences == [line for line in lines if line in sentences]


def test_advice_on_the_configuration_is_printed_once_and_is_no_hint_of_the_sweep() -> None:
    checks = Checks(3, advice="norm: try batch")
    bench = Bench(a_built_in(), World(checked(checks)))
    said = printed(bench)

    assert (1, 0) == (said.count("advice: norm: try batch\n"), said.count("hint"))
    bench.restart()
    bench.sweep.load()
    assert checks == bench.sweep.history.trials[0].checks


def test_checks_that_passed_are_not_worth_a_line() -> None:
    assert "check" not in printed(Bench(a_built_in(), World(checked(Checks(9)))))


def test_what_a_preset_sets_is_printed_at_the_end() -> None:
    assert "\npreset scratch sets " in printed(
        Bench(a_built_in("data: digits, preset: scratch"), World(checked()))
    )
