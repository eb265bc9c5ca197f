"""The pass that both worlds share: nothing is lost or run twice, wherever its process is killed."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from hypersweep.api import SweepSpec, load
from hypersweep.goal import SweepPhase
from hypersweep.journal import Ended
from hypersweep.reconcile import SpecChanged, Sweep, SweepGone
from hypersweep.runner import Exit, Live, Metric, Phase, Result
from hypersweep.store import StoreRefused
from hypersweep.trial import End, Status, Suggestion
from tests.bench import GRID, Bench, a_spec, loss
from tests.world import Crash, Fault, World, WorldRunner, measured

ITERATIVE = """
apiVersion: hypersweep.io/v1alpha1
kind: HyperSweep
metadata: {name: iterative}
spec:
  objectives: [{metric: loss, goal: minimize}]
  parameters:
    - {name: x, int: {min: 0, max: 5}, start: 0}
    - {name: y, choice: [a, b, c], start: a}
  strategy: {iterative: {stages: [{parameters: [y]}, {parameters: [x]}], final: {seeds: 3}}}
  parallelism: 4
  trial: {podTemplate: {spec: {containers: [{name: trial, command: [train]}]}}}
"""


def test_a_grid_runs_every_point_once_and_succeeds() -> None:
    bench = Bench()

    step = bench.run()

    assert step.plan.phase is SweepPhase.SUCCEEDED
    assert [n for n, _ in sorted(bench.world.starts)] == list(range(9))
    assert bench.world.alive_peak == 3
    assert not bench.world.live


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("text", [GRID, ITERATIVE])
def test_a_kill_at_any_write_changes_nothing(text: str, after: bool) -> None:
    undisturbed = Bench(a_spec(text))
    undisturbed.run()
    writes = len(undisturbed.journal.segments) + undisturbed.world.fault.count

    for port in ("journal", "world"):
        for at in range(1, writes + 1, 1 if text == GRID else 7):
            bench = Bench(a_spec(text))
            getattr(bench, port).fault = Fault(at, after)
            bench.run()

            ended = [(f.trial, f.attempt) for f in bench.facts(Ended)]
            assert len(set(ended)) == len(ended)
            assert bench.world.alive_peak <= bench.spec.parallelism
            assert bench.outcome() == undisturbed.outcome()
            assert len(set(bench.world.starts)) == len(bench.world.starts)


def test_a_restart_at_every_tick_and_any_finishing_order_give_the_same_decisions() -> None:
    expected = Bench(a_spec(ITERATIVE))
    expected.run()

    for seed in range(5):
        bench = Bench(a_spec(ITERATIVE), World(measured(loss), Random(seed)))
        bench.run(restart=True)

        assert bench.outcome() == expected.outcome()


def test_others_start_once_trial_0_reports() -> None:
    bench = Bench()

    bench.step()
    assert bench.world.alive == [(0, 0)]
    bench.world.live[(0, 0)] = replace(
        bench.world.live[(0, 0)], phase=Phase.RUNNING, progress={"loss": 1.0}, step=1
    )
    bench.step()

    assert bench.world.alive == [(0, 0), (1, 0), (2, 0)]


def test_a_failed_attempt_is_retried_once_and_then_fails_its_trial() -> None:
    bench = Bench()
    bench.step()

    bench.world.end((0, 0), Exit.ERROR)
    bench.step()
    bench.world.end((0, 1), Exit.ERROR)
    step = bench.step()

    assert [a.end for a in step.plan.history.trials[0].attempts] == [End.ERROR, End.ERROR]
    assert step.plan.history.trials[0].status is Status.FAILED


@pytest.mark.parametrize(
    ("exit", "end", "again"),
    [
        (Exit.CONFIG, End.CONFIG, False),
        (Exit.ERROR, End.ERROR, True),
        (Exit.PREEMPTED, End.PREEMPTED, True),
        (Exit.LOST, End.LOST, True),
        (Exit.TIMEOUT, End.TIMEOUT, False),
        (Exit.CHECKPOINTED, End.ERROR, True),
    ],
)
def test_the_class_of_an_end_decides_whether_it_is_retried(exit: Exit, end: End, again: bool) -> None:
    bench = Bench()
    bench.step()

    bench.world.end((0, 0), exit)
    step = bench.step()

    assert step.plan.history.trials[0].attempts[0].end is end
    assert ((0, 1) in bench.world.live) is again


def test_a_checkpointed_exit_with_progress_is_a_disruption() -> None:
    bench = Bench()
    bench.step()
    bench.world.live[(0, 0)] = replace(bench.world.live[(0, 0)], phase=Phase.RUNNING, step=3)

    bench.world.end((0, 0), Exit.CHECKPOINTED)
    step = bench.step()

    assert step.plan.history.trials[0].attempts[0].end is End.PREEMPTED


@pytest.mark.parametrize(
    ("result", "end"),
    [
        (Result("done", {"loss": Metric(float("nan"))}), End.INFEASIBLE),
        (Result("infeasible", reason="the loss is not finite"), End.INFEASIBLE),
        (Result("done", {"other": Metric(1.0)}), End.NO_METRICS),
    ],
)
def test_a_result_is_judged_by_its_objective(result: Result, end: End) -> None:
    bench = Bench()
    bench.step()

    bench.world.end((0, 0), Exit.COMPLETE, result)
    step = bench.step()

    assert step.plan.history.trials[0].attempts[0].end is end


def test_a_result_counts_whatever_the_world_says_of_the_exit() -> None:
    bench = Bench()
    bench.step()

    bench.world.end((0, 0), Exit.LOST, Result("done", {"loss": Metric(1.0)}))
    step = bench.step()

    assert step.plan.history.trials[0].status is Status.DONE


def test_suspending_stops_what_runs_uncharged_and_resuming_continues() -> None:
    bench = Bench()
    bench.step()
    bench.world.tick()
    bench.step()

    bench.spec = a_spec(suspend=True)
    bench.step()
    bench.world.tick()
    suspended = bench.step()
    bench.spec = a_spec()
    resumed = bench.run()

    assert suspended.plan.phase is SweepPhase.SUSPENDED
    assert resumed.plan.phase is SweepPhase.SUCCEEDED
    assert resumed.plan.history.counts == {Status.DONE: 9}
    assert End.SUSPENDED in resumed.plan.history.ends


def test_a_stopped_launch_that_never_started_is_not_started_again() -> None:
    bench = Bench()
    bench.world.fault = Fault(1)
    with pytest.raises(Crash):
        bench.step()
    bench.restart()

    bench.spec = a_spec(suspend=True)
    step = bench.step()

    assert bench.world.starts == []
    assert step.plan.phase is SweepPhase.SUSPENDED


def test_lower_parallelism_only_drains() -> None:
    bench = Bench()
    bench.step()
    bench.world.tick()
    bench.step()
    running = set(bench.world.alive)

    bench.spec = a_spec(parallelism=1)
    bench.step()

    assert running <= set(bench.world.live)


def test_too_many_failures_fail_the_sweep_and_leave_nothing_running() -> None:
    failing = Result("failed", reason="boom")
    bench = Bench(a_spec(max_failed_trials=2), World(lambda _: failing))

    step = bench.run()

    assert (step.plan.phase, step.plan.reason) == (SweepPhase.FAILED, "TooManyFailed")
    assert step.plan.message.endswith(
        "more than spec.maxFailedTrials = 2: MetricsUnavailable: boom (3 trials)"
    )
    assert not bench.world.alive


def test_a_wall_clock_budget_stops_what_runs_and_more_budget_continues() -> None:
    def budget(hours: float) -> SweepSpec:
        text = GRID + f"  budget: {{wallClock: {int(hours * 3600)}s}}\n"
        return load(text).spec

    bench = Bench(budget(1))
    bench.step()
    bench.world.tick()
    bench.step()
    bench.world.now += timedelta(hours=2)
    bench.step()
    bench.world.tick()

    spent = bench.step()
    bench.spec = budget(24)
    more = bench.run()

    assert (spent.plan.phase, spent.plan.reason) == (SweepPhase.SUCCEEDED, "BudgetExhausted")
    assert more.plan.history.counts == {Status.DONE: 9}


NOTHING = Result("infeasible", reason="the loss is not finite")


@pytest.mark.parametrize("text", [GRID, GRID.replace("grid: {}", "random: {}") + "  maxTrials: 4\n"])
def test_a_sweep_without_one_result_has_failed_and_says_why(text: str) -> None:
    bench = Bench(a_spec(text), World(lambda _: NOTHING))

    plan = bench.run().plan

    assert (SweepPhase.FAILED, "NoResult") == (plan.phase, plan.reason)
    count = 9 if text == GRID else 4
    assert f"no trial came to a result: Infeasible: the loss is not finite ({count} trials)" in plan.message


def test_configurations_that_all_are_refused_fail_the_sweep_with_their_sentence() -> None:
    bench = Bench(a_spec(GRID.replace("max: 8", "max: 1"), max_failed_trials=5))
    for trial in range(2):
        bench.step()
        bench.world.end((trial, 0), Exit.CONFIG)
        key = (trial, 0)
        bench.world.live[key] = replace(bench.world.live[key], cause="model: must be one of mlp, conv")

    plan = bench.step().plan

    expected = "all 2 trials ran; no trial came to a result: InvalidConfig: model: must be one of mlp, conv"
    assert (SweepPhase.FAILED, "NoResult") == (plan.phase, plan.reason)
    assert f"{expected} (2 trials)" == plan.message


def test_one_result_is_enough_to_succeed() -> None:
    def once(suggestion: Suggestion) -> Result:
        return Result("done", {"loss": Metric(1.0)}) if suggestion.parameters["x"] == 8 else NOTHING

    plan = Bench(world=World(once)).run().plan

    assert (SweepPhase.SUCCEEDED, "Completed") == (plan.phase, plan.reason)


def test_a_budget_that_ends_before_the_first_result_fails_the_sweep_and_more_of_it_goes_on() -> None:
    bench = Bench(load(GRID + "  budget: {wallClock: 1h}\n").spec)
    bench.step()
    bench.world.now += timedelta(hours=2)
    bench.step()
    bench.world.tick()

    spent = bench.step().plan
    bench.spec = load(GRID + "  budget: {wallClock: 24h}\n").spec
    more = bench.run().plan

    said = "the sweep has run for spec.budget.wallClock = 1:00:00; no trial came to a result"
    assert (SweepPhase.FAILED, "NoResult", said) == (spent.phase, spent.reason, spent.message)
    assert (SweepPhase.SUCCEEDED, {Status.DONE: 9}) == (more.phase, more.history.counts)


def test_a_target_lets_what_runs_finish_and_launches_nothing_more() -> None:
    text = GRID.replace("goal: minimize}", "goal: minimize, target: 30}")
    bench = Bench(a_spec(text))

    step = bench.run()

    assert (step.plan.phase, step.plan.reason) == (SweepPhase.SUCCEEDED, "TargetReached")
    assert step.plan.history.launched < 9


def test_another_search_under_the_same_journal_is_refused_by_field() -> None:
    bench = Bench()
    bench.step()
    bench.restart()

    bench.spec = a_spec(GRID.replace("max: 8", "max: 9"))
    with pytest.raises(SpecChanged) as refused:
        bench.step()

    assert refused.value.fields == ("spec.parameters[x].int.max: must stay 8, but found 9",)


def test_a_deleted_sweep_launches_nothing() -> None:
    bench = Bench()
    bench.sweep.confirm = lambda: False

    with pytest.raises(SweepGone):
        bench.step()

    assert bench.world.starts == []


def test_an_attempt_of_no_journal_is_removed() -> None:
    bench = Bench()
    bench.world.live[(7, 0)] = Live(7, 0, Phase.RUNNING, bench.world.now)

    bench.step()

    assert (7, 0) not in bench.world.live


def test_a_second_writer_is_noticed_and_does_nothing() -> None:
    bench = Bench()
    other = Sweep("u1", bench.journal, WorldRunner(bench.world))
    bench.step()

    step = other.step(bench.spec, bench.world.now + timedelta(seconds=1))

    assert step.busy or other.history == bench.sweep.history
    assert bench.world.starts == [(0, 0)]


def test_a_full_journal_launches_nothing_but_records_ends() -> None:
    bench = Bench()
    bench.step()

    bench.journal.full = True
    bench.world.end((0, 0))
    step = bench.step()

    assert step.plan.history.trials[0].status is Status.DONE
    assert bench.world.starts == [(0, 0)]


def test_the_last_five_failures_stay_to_be_looked_at() -> None:
    failing = Result("failed", reason="boom")
    bench = Bench(world=World(lambda _: failing))
    bench.spec = load(GRID + "  maxFailedTrials: 100\n  retries: {errors: 0}\n").spec

    bench.run()

    assert len(bench.world.live) == 5


@pytest.mark.parametrize("exit", [Exit.PREEMPTED, Exit.LOST])
def test_nothing_stays_of_an_attempt_that_was_ended_from_outside(exit: Exit) -> None:
    bench = Bench()
    bench.step()
    bench.world.end((0, 0), exit)
    bench.step()

    assert list(bench.world.live) == [(0, 1)]


def test_missing_launches_are_made_good_within_a_lowered_parallelism() -> None:
    bench = Bench(a_spec(parallelism=8))
    bench.step()
    bench.world.tick()
    bench.step()
    for key in list(bench.world.live):
        bench.world.vanish(key)
    bench.restart()

    bench.spec = a_spec(parallelism=2)
    bench.step()

    assert len(bench.world.alive) == 2


def test_a_journal_that_cannot_be_read_is_refused_by_its_segment() -> None:
    bench = Bench()
    bench.step()
    bench.restart()

    bench.journal.segments[0] = b'{"fact":"Nonsense"}\n'
    with pytest.raises(StoreRefused, match="segment 0 of the journal cannot be read"):
        bench.step()


def test_nothing_of_a_plan_is_told_that_another_writer_was_faster_than() -> None:
    bench = Bench()
    other = Sweep("u1", bench.journal, WorldRunner(bench.world))
    other.load()
    bench.step()

    step = other.step(bench.spec, bench.world.now + timedelta(seconds=1))

    assert step.busy
    assert step.plan.record == ()
