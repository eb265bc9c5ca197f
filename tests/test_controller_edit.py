"""The controller and a manifest that is wrong, edited, deleted, or another's of the same name."""

from hypersweep import api
from hypersweep.journal import Ended, decode
from hypersweep.kube import SWEEPS
from tests.controlled import KEY, World, run_to_the_end


def test_a_new_version_of_the_spec_wakes_the_sweep() -> None:
    world = World().apply()
    world.work()
    world.apply(generation=2, parallelism=1)

    assert 1 == world.queue.depth


def test_a_wrong_spec_is_told_with_all_of_its_problems_and_nothing_is_launched() -> None:
    world = World().apply(seeds=0, maxFailedTrials=-1)
    world.work()
    condition = world.condition("SpecValid")

    assert ("False", "Invalid") == (condition["status"], condition["reason"])
    assert all(f"spec.{field}" in condition["message"] for field in ("maxFailedTrials", "seeds"))
    assert ([], ["Invalid"]) == (world.job_names, world.reasons)


def test_the_words_are_those_of_the_local_check() -> None:
    world = World().apply(seeds=0)
    world.work()
    wrong = api.problems(world.kube.get(SWEEPS, *KEY))

    assert "\n".join(wrong) == world.condition("SpecValid")["message"]


def test_a_spec_that_was_corrected_runs() -> None:
    world = World().apply(seeds=0)
    world.work()
    world.apply(generation=2).work()
    world.pass_time(3)

    assert "True" == world.condition("SpecValid")["status"]
    assert ["digits-0-0"] == world.job_names


def test_a_search_that_changed_is_refused_by_field() -> None:
    world = World().apply()
    world.work()
    world.apply(generation=2, seed=7).work()
    world.pass_time(3)
    condition = world.condition("SpecValid")

    assert ("False", "ImmutableFieldChanged") == (condition["status"], condition["reason"])
    assert "spec.seed" in condition["message"]


def test_a_sweep_of_the_same_name_starts_anew() -> None:
    world = World().apply()
    world.work()
    world.delete()
    world.show()
    world.apply(uid="uid-b").work()

    assert {"uid-a", "uid-b"} == set(world.journals)
    assert ["digits-0-0"] == world.job_names


def test_a_job_of_the_deleted_sweep_is_waited_for_and_never_adopted() -> None:
    world = World().apply()
    world.work()
    old = world.kube.objects["jobs", "team", "digits-0-0"]["metadata"]["uid"]
    del world.kube.objects[SWEEPS.plural, *KEY]
    world.apply(uid="uid-b").work(5)
    world.pass_time(3)

    assert "digits-0-0" in world.condition("NameConflict")["message"]
    assert old == world.kube.objects["jobs", "team", "digits-0-0"]["metadata"]["uid"]
    del world.kube.objects["jobs", "team", "digits-0-0"]
    world.show()
    world.work()
    assert old != world.kube.objects["jobs", "team", "digits-0-0"]["metadata"]["uid"]


def test_nothing_is_created_for_a_sweep_that_was_deleted_unseen() -> None:
    world = World().apply()
    world.delete()
    world.work()

    assert ([], set()) == (world.job_names, world.controller.uids)


def test_a_sweep_that_is_being_deleted_is_left_alone() -> None:
    world = World().apply()
    held = world.kube.get(SWEEPS, *KEY)
    held["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.controller.seen(world.kube.put(SWEEPS, "team", held))
    world.work()

    assert [] == world.job_names


def test_a_deletion_that_was_missed_is_noticed_by_the_resync() -> None:
    world = run_to_the_end(World())
    world.controller.retain(set())

    assert (set(), []) == (world.controller.uids, list(world.registry.sweeps()))


def test_a_status_is_never_written_to_another_sweep_of_the_same_name() -> None:
    world = World().apply()
    key = world.queue.get()
    assert key is not None
    other = world.kube.get(SWEEPS, *KEY)
    other["metadata"]["uid"] = "uid-b"
    world.kube.put(SWEEPS, "team", other)
    world.controller.run(key)

    assert {} == world.status
    assert set() == world.controller.uids


def test_an_edit_that_comes_during_the_last_pass_is_not_lost() -> None:
    world = World().apply(maxTrials=2).work()
    journal = world.journals["uid-a"]
    append, ends = journal.append, []

    def append_and_edit(sequence: int, data: bytes) -> None:
        append(sequence, data)
        ends.extend(fact for fact in decode(data) if isinstance(fact, Ended))
        if len(ends) == 2:
            world.apply(generation=2, maxTrials=3)

    journal.append = append_and_edit
    for _ in range(8):
        world.finish()
        world.pass_time(3)

    assert ("Succeeded", "3/3") == (world.status["phase"], world.status["progress"])
