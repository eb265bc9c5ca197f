"""The controller runs a sweep to its end, with few writes, and knows what is over."""

import math

from hypersweep.kube import JOBS, SWEEPS
from tests.controlled import BUILT_IN, KEY, World, run_to_the_end
from tests.jobs import ended


def test_an_applied_sweep_runs_to_its_end_and_leaves_no_job() -> None:
    world = run_to_the_end(World())

    assert ("Succeeded", "3/3", []) == (world.status["phase"], world.status["progress"], world.job_names)
    assert ["Running", "Succeeded"] == world.reasons


def test_a_trial_costs_two_writes() -> None:
    world = run_to_the_end(World())

    writes = [verb for verb in world.kube.verbs("jobs") if verb.split()[0] in ("create", "delete")]
    assert 2 * 3 == len(writes)


def test_the_status_is_written_only_when_it_changes() -> None:
    world = World().apply()
    world.work()
    before = len(world.kube.verbs("hypersweeps"))
    for _ in range(5):
        world.pass_time(10)

    patches = world.kube.verbs("hypersweeps")[before:]
    assert patches.count("patch") <= 1


def test_the_status_is_not_written_more_often_than_its_period() -> None:
    world = World().apply()
    world.work()
    before = world.kube.verbs("hypersweeps").count("patch")
    world.finish()
    world.work()
    assert before == world.kube.verbs("hypersweeps").count("patch")

    world.pass_time(2.1)
    assert before + 1 == world.kube.verbs("hypersweeps").count("patch")


def test_our_own_status_wakes_nobody() -> None:
    world = World().apply()
    world.work()
    world.controller.seen(world.kube.get(SWEEPS, *KEY))

    assert 0 == world.queue.depth


def test_a_sweep_that_is_over_is_not_opened_after_a_restart() -> None:
    world = run_to_the_end(World())
    world.controller, opens = world.a_controller(), world.opens
    world.controller.seen(world.kube.get(SWEEPS, *KEY))
    world.work()

    assert opens == world.opens
    assert any(series.tally().finished["Done"] == 3 for series in world.registry.sweeps())


def test_a_sweep_that_is_over_removes_a_job_that_was_left() -> None:
    world = run_to_the_end(World())
    name = "digits-0-0"
    journal_uid = world.kube.objects[SWEEPS.plural, *KEY]["metadata"]["uid"]
    left = {"name": name, "uid": "left", "labels": {"hypersweep.io/trial": "0", "hypersweep.io/attempt": "0"}}
    left["ownerReferences"] = [
        {"kind": "HyperSweep", "controller": True, "uid": journal_uid, "name": "digits"}
    ]
    spec = {"template": {"spec": {"containers": []}}}
    world.kube.put(JOBS, "team", {"metadata": left, "spec": spec, "status": ended()})
    world.controller = world.a_controller()
    world.controller.seen(world.kube.get(SWEEPS, *KEY))
    world.show()
    for _ in range(3):
        world.pass_time(3)

    assert [] == world.job_names


def test_a_sweep_that_is_over_keeps_its_numbers_and_not_its_history() -> None:
    world = run_to_the_end(World())

    tracked = world.controller._tracked[KEY]
    assert tracked.opened is None
    assert tracked.series is not None
    assert tracked.series.history is None


def test_a_result_that_a_drain_took_before_it_was_read_is_measured_again() -> None:
    world = World().apply().work()
    world.finish(loss=0.1)
    world.drain()
    world.pass_time(3)
    assert ({"Lost": 1}, ["digits-0-1"]) == (world.status["restarts"], world.job_names)

    for _ in range(6):
        world.finish(loss=0.1)
        world.pass_time(3)
    done = {"failed": 0, "done": 3}
    assert ("Succeeded", "0.1", done) == (
        world.status["phase"],
        world.status["bestValue"],
        {name: world.status["trials"][name] for name in done},
    )
    assert [] == world.job_names


def test_what_is_durable_is_told_as_it_is() -> None:
    told = {}
    for durable, manifest in ((True, BUILT_IN), (True, {}), (False, {})):
        world = World()
        world.durable = durable
        condition = world.apply(**manifest).work().condition("Durable")
        told[condition["status"], condition["reason"]] = condition["message"]

    assert [("True", "Stored"), ("True", "JournalStored"), ("False", "NoStore")] == list(told)
    assert "results come by termination messages" not in told["True", "Stored"]
    for message in (told["True", "JournalStored"], told["False", "NoStore"]):
        assert "a trial whose pod is deleted before its message was read runs again" in message


def test_why_trials_are_infeasible_is_told_of_the_first_ones() -> None:
    world = World().apply(strategy={"grid": {"points": 30}}).work()
    for _ in range(20):
        world.finish(loss=math.nan)
        world.pass_time(3)
    told = [event for event in world.events if event["reason"] == "TrialInfeasible"]

    assert ("Normal", "trial 0: Infeasible: loss is nan") == (told[0]["type"], told[0]["message"])
    assert 1 < len(told) < 10
    assert 30 == world.status["trials"]["infeasible"]


def test_why_trials_are_infeasible_is_told_however_many_end_at_once() -> None:
    world = World().apply(strategy={"grid": {"points": 30}}, parallelism=30).work()
    for _ in range(2):  # the first trial runs by itself
        world.finish(loss=math.nan)
        world.pass_time(3)
    told = [event["message"] for event in world.events if event["reason"] == "TrialInfeasible"]

    assert 30 == world.status["trials"]["infeasible"]
    assert ["trial 0: Infeasible: loss is nan", "and 26 more"] == [told[0], told[1].split("; ")[-1]]
