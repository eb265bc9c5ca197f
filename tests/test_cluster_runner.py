import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hypersweep import api
from hypersweep.cache import Job, Jobs
from hypersweep.cluster import ClusterRunner, Place
from hypersweep.kube import JOBS, PODS, SERVICES, KubeError
from hypersweep.runner import Conflict, Evidence, Exit, Live, Order, Phase
from hypersweep.store import StoreError
from hypersweep.trial import Suggestion
from hypersweep.witness import Pools, Witness

from .clock import Clock
from .executor import Delayed
from .fakekube import FakeKube
from .fakes import FakeStore
from .jobs import OWNER, a_job, a_pod, ended, failed_by, running

MANIFEST = """
apiVersion: hypersweep.io/v1alpha1
kind: HyperSweep
metadata: {name: digits}
spec:
  objectives: [{metric: loss, goal: minimize}]
  parameters: [{name: lr, float: {min: 0, max: 1}}]
  strategy: {grid: {points: 3}}
  parallelism: 2
  trial:
    nodes: %d
    podTemplate: {spec: {containers: [{name: trial, image: "python", command: [python]}]}}
"""
NOW = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
COMPLETE = ended()
RESULT = {"status": "done", "metrics": {"loss": {"value": 0.25, "last": 0.25}}}


class World:
    """A runner over a fake API and a fake store; the watch shows what the test tells it."""

    def __init__(self, nodes: int = 1, stored: bool = True) -> None:
        self.kube = FakeKube()
        self.jobs = Jobs()
        self.store = FakeStore()
        self.clock = Clock()
        self.pool = Delayed()
        self.now = NOW
        self.woken = 0
        store = self.store if stored else None
        pools = Pools(self.pool, self.pool)
        witness = Witness(self.kube, "team", store, pools, self.wake, self.clock)
        place = Place("trainer", store.url if store else None)
        self.witness = witness
        self.runner = ClusterRunner(
            self.kube,
            self.jobs,
            witness,
            "team",
            "digits",
            OWNER,
            place,
            lambda: self.now,
        )
        self.runner.spec = api.load(MANIFEST % nodes).spec

    def wake(self) -> None:
        self.woken += 1

    def shown(self, *args: Any, **options: Any) -> "World":
        """The watch tells of a Job as it is now."""
        job = Job.parse(a_job(*args, **options))
        assert job is not None
        self.jobs.put(job)
        return self

    def show_all(self) -> None:
        for (plural, _, _), document in self.kube.objects.items():
            if plural == "jobs" and (job := Job.parse(document)):
                self.jobs.put(job)

    def pod(self, *args: Any, **options: Any) -> "World":
        self.kube.put(PODS, "team", a_pod(*args, **options))
        return self

    def left(self, name: str, document: object, attempt: int = 0) -> "World":
        self.store.write(f"trials/00000/attempts/{attempt}/{name}", json.dumps(document).encode())
        return self

    def see(self, *expected: tuple[int, int]) -> dict[tuple[int, int], Live]:
        """What is seen once all reads have been answered."""
        self.runner.observe(expected)
        self.pool.run()
        return dict(self.runner.observe(expected))


def order(trial: int = 0, attempt: int = 0) -> Order:
    return Order(trial, attempt, Suggestion({"lr": 0.5}, seed=1))


def test_what_was_launched_is_pending_before_the_watch_shows_it() -> None:
    world = World()
    world.runner.launch(order())

    assert Phase.PENDING is world.see((0, 0))[0, 0].phase
    world.show_all()
    assert Phase.PENDING is world.see((0, 0))[0, 0].phase


def test_a_job_that_came_and_went_before_it_was_looked_at_is_gone() -> None:
    world = World()
    world.runner.launch(order())
    world.show_all()
    world.jobs.drop(next(iter(world.kube.objects.values()))["metadata"]["uid"])

    assert Phase.GONE is world.see((0, 0))[0, 0].phase


def test_launching_twice_gives_one_job() -> None:
    world = World()
    world.runner.launch(order())
    world.runner.launch(order())

    assert ["digits-0-0"] == [name for _, _, name in world.kube.objects]


def test_a_name_held_by_another_sweep_is_a_conflict() -> None:
    world = World()
    world.kube.put(JOBS, "team", a_job(owner="a deleted sweep of the same name"))

    with pytest.raises(Conflict, match="digits-0-0"):
        world.runner.launch(order())


def test_only_trials_of_several_nodes_have_a_service_and_it_comes_first() -> None:
    world, alone = World(nodes=2), World()
    world.runner.launch(order(0))
    world.runner.launch(order(1))
    alone.runner.launch(order())

    assert [("create", "services"), ("create", "jobs"), ("create", "jobs")] == [
        (verb, plural) for verb, plural, _ in world.kube.calls
    ]
    assert () == alone.kube.verbs("services")


def test_a_service_of_a_deleted_sweep_is_a_conflict() -> None:
    world = World(nodes=2)
    world.kube.put(SERVICES, "team", {"metadata": {"name": "digits-trials"}})

    with pytest.raises(Conflict, match="services/digits-trials"):
        world.runner.launch(order())


def test_a_job_that_the_api_server_refuses_is_told_and_not_raised() -> None:
    world = World()
    world.kube.refusals["create"] = KubeError(403, "Forbidden", "exceeded quota")
    world.runner.launch(order())

    assert "exceeded quota" == world.runner.refused
    world.see()
    assert "" == world.runner.refused


def test_other_errors_of_a_launch_are_raised() -> None:
    world = World()
    world.kube.refusals["create"] = KubeError(0, "NoAnswer", "timeout")

    with pytest.raises(KubeError):
        world.runner.launch(order())


def test_jobs_of_other_sweeps_are_not_seen() -> None:
    world = World().shown(0, owner="another")

    assert {} == world.see()


def test_a_ready_pod_makes_an_attempt_running_and_keeps_it_so() -> None:
    world = World().shown()
    world.see()
    world.now += timedelta(seconds=3)
    world.shown(**running())
    live = world.see()[0, 0]

    assert (Phase.RUNNING, NOW + timedelta(seconds=3), 4) == (live.phase, live.started, live.gpus)
    world.shown(startTime="2026-01-01T00:00:01Z", active=1, ready=0)
    assert Phase.RUNNING is world.see()[0, 0].phase


def test_after_a_restart_an_attempt_runs_since_its_job_was_taken_up() -> None:
    world = World().shown(**running())

    assert datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC) == world.see()[0, 0].started


def test_the_evidence_of_an_end_is_unknown_until_it_was_read() -> None:
    world = World().shown(**COMPLETE).pod(status=0).left("result.json", RESULT)

    assert Evidence.UNKNOWN is world.runner.observe([(0, 0)])[0, 0].evidence
    world.pool.run()
    live = world.runner.observe([(0, 0)])[0, 0]
    assert (Evidence.THERE, Exit.COMPLETE) == (live.evidence, live.exit)
    assert live.result is not None
    assert 0.25 == live.result.metrics["loss"].value
    assert 0 < world.woken


def test_the_times_of_an_end_are_those_of_its_pods() -> None:
    world = World().shown(**COMPLETE).pod(status=0)
    live = world.see((0, 0))[0, 0]

    times = [NOW.replace(second=2), NOW.replace(second=8)]
    assert times == [live.started, live.ended]


def test_a_result_counts_whatever_the_job_says() -> None:
    world = World().shown(**ended("Failed", "BackoffLimitExceeded")).pod(status=1).left("result.json", RESULT)

    assert Evidence.THERE is world.see((0, 0))[0, 0].evidence


def test_a_result_that_nobody_can_read_is_absent_and_says_why() -> None:
    world = World().shown(**COMPLETE).pod(status=0).left("result.json", ["no", "object"])
    live = world.see((0, 0))[0, 0]

    assert Evidence.ABSENT is live.evidence
    assert "result.json: a result is an object" in live.cause


def test_a_store_that_does_not_answer_leaves_the_evidence_unknown() -> None:
    world = World().shown(**COMPLETE).pod(status=0)
    world.kube.refusals["list"] = KubeError(0, "NoAnswer", "timeout")

    assert Evidence.UNKNOWN is world.see((0, 0))[0, 0].evidence


MESSAGE = json.dumps({"loss": 0.125})


@pytest.mark.parametrize("stored", [True, False])
def test_a_termination_message_of_index_0_is_the_result_of_a_complete_job(stored: bool) -> None:
    world = World(stored=stored).shown(**COMPLETE)
    world.pod(index=0, status=0, message=MESSAGE).pod(index=1, status=0, message='{"loss": 9}')
    live = world.see((0, 0))[0, 0]

    assert Evidence.THERE is live.evidence
    assert live.result is not None
    assert 0.125 == live.result.metrics["loss"].value


def test_a_termination_message_of_a_failed_job_does_not_count() -> None:
    world = World(stored=False).shown(**ended("Failed", "BackoffLimitExceeded"))
    world.pod(index=0, status=0, message=MESSAGE).pod(index=1, status=1)

    assert Evidence.ABSENT is world.see((0, 0))[0, 0].evidence


@pytest.mark.parametrize(
    ("status", "exit_"),
    [
        (failed_by("disrupted"), Exit.PREEMPTED),
        (failed_by("config"), Exit.CONFIG),
        (failed_by("checkpointed"), Exit.CHECKPOINTED),
        (ended("Failed", "DeadlineExceeded"), Exit.TIMEOUT),
        (ended("Failed", "BackoffLimitExceeded"), Exit.ERROR),
    ],
)
def test_the_class_of_an_end_stands_in_the_jobs_condition(status: dict[str, Any], exit_: Exit) -> None:
    world = World().shown(**status).pod(status=1, reason="Error", message="it broke")

    live = world.see((0, 0))[0, 0]
    assert (exit_, "exit status 1: it broke") == (live.exit, live.cause)


def test_an_attempt_that_was_checkpointed_tells_how_far_it_came() -> None:
    world = World().shown(**failed_by("checkpointed")).pod(status=75)
    world.left("progress.json", {"step": 40, "time": 1767225605.0, "metrics": {"loss": 0.5}})

    assert 40 == world.see((0, 0))[0, 0].step


@pytest.mark.parametrize("pods", [[], [{"status": 143, "leaves": "2026-01-01T00:00:30Z"}]])
def test_pods_that_were_deleted_make_an_error_a_loss(pods: list[dict[str, Any]]) -> None:
    world = World().shown(**ended("Failed", "BackoffLimitExceeded"))
    for pod in pods:
        world.pod(**pod)

    assert Exit.LOST is world.see((0, 0))[0, 0].exit


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("others", [(), (1,)])
def test_a_completed_attempt_whose_message_was_never_read_is_lost(
    others: tuple[int, ...], stored: bool
) -> None:
    world = World(stored=stored).shown(**COMPLETE)
    for index in others:
        world.pod(index=index, status=0)
    live = world.see((0, 0))[0, 0]

    assert (Exit.LOST, Evidence.ABSENT) == (live.exit, live.evidence)
    assert "it completed, but its pod was deleted before" in live.cause


@pytest.mark.parametrize("written", [RESULT, ["no", "object"]])
def test_what_a_completed_attempt_wrote_to_the_store_counts_without_its_pods(written: object) -> None:
    world = World().shown(**COMPLETE).left("result.json", written)

    assert Exit.COMPLETE is world.see((0, 0))[0, 0].exit


def test_a_completed_attempt_that_said_nothing_is_not_lost() -> None:
    world = World(stored=False).shown(**COMPLETE).pod(status=0)
    live = world.see((0, 0))[0, 0]

    assert (Exit.COMPLETE, Evidence.ABSENT) == (live.exit, live.evidence)


def test_the_pods_of_another_job_of_the_same_name_are_not_looked_at() -> None:
    world = World(stored=False).shown(**COMPLETE).pod("an older job", status=0, message=MESSAGE)

    assert Evidence.ABSENT is world.see((0, 0))[0, 0].evidence


def test_a_stopped_attempt_counts_until_it_is_gone() -> None:
    world = World().shown(**running())
    world.kube.put(JOBS, "team", a_job())
    world.runner.stop((0, 0))

    assert Phase.STOPPING is world.see((0, 0))[0, 0].phase
    world.jobs.drop("job-0-0")
    assert Phase.GONE is world.see((0, 0))[0, 0].phase


def test_stopping_and_forgetting_twice_asks_once() -> None:
    world = World().shown(**running()).shown(1, **COMPLETE)
    for number in (0, 1):
        world.kube.put(JOBS, "team", a_job(number))
    for _ in range(2):
        world.runner.stop((0, 0))
        world.runner.forget((1, 0))

    deletions = [verb for verb in world.kube.verbs("jobs") if verb.startswith("delete")]
    assert ["delete Foreground", "delete Background"] == deletions


def test_what_is_forgotten_is_not_seen_again() -> None:
    world = World().shown(**COMPLETE)
    world.kube.put(JOBS, "team", a_job())
    world.runner.forget((0, 0))

    assert {} == world.see()


def test_a_job_that_is_gone_already_is_forgotten_without_an_error() -> None:
    world = World().shown(**COMPLETE)
    world.runner.forget((0, 0))

    assert {} == world.see()


def test_a_deletion_never_meets_a_new_job_of_the_same_name() -> None:
    world = World().shown(uid="old", **COMPLETE)
    world.kube.put(JOBS, "team", a_job(uid="new"))
    world.runner.forget((0, 0))

    assert 1 == len(world.kube.objects)


def test_a_deletion_by_somebody_else_shows_as_stopping() -> None:
    world = World().shown(deleting=True, **running())

    assert Phase.STOPPING is world.see((0, 0))[0, 0].phase


def test_a_pod_that_terminates_for_ever_is_lost() -> None:
    world = World().shown(**running(), terminating=1).pod(leaves="2026-01-01T00:00:30Z")
    world.see((0, 0))
    world.clock.now += 31
    world.now += timedelta(minutes=4)
    assert Phase.RUNNING is world.see((0, 0))[0, 0].phase
    world.clock.now += 31
    world.now += timedelta(minutes=2)
    world.see((0, 0))
    live = world.see((0, 0))[0, 0]

    assert (Phase.ENDED, Exit.LOST, Evidence.ABSENT) == (live.phase, live.exit, live.evidence)
    assert "node does not answer" in live.cause


def test_an_expected_attempt_without_a_job_tells_what_it_left_in_the_store() -> None:
    world = World().left("result.json", RESULT)

    assert Evidence.UNKNOWN is world.runner.observe([(0, 0), (1, 0)])[0, 0].evidence
    world.pool.run()
    found = world.runner.observe([(0, 0), (1, 0)])
    assert (Evidence.THERE, Evidence.ABSENT) == (found[0, 0].evidence, found[1, 0].evidence)


def test_an_absence_is_read_anew_once_something_existed_in_between() -> None:
    world = World()
    assert Evidence.ABSENT is world.see((0, 0))[0, 0].evidence
    world.shown(**running())
    world.see((0, 0))
    world.left("result.json", RESULT)
    world.jobs.drop("job-0-0")
    world.see((0, 0))  # first of its pods: while one runs, nothing is known

    assert Evidence.THERE is world.see((0, 0))[0, 0].evidence


def test_why_an_attempt_does_not_start_is_looked_up_after_a_while() -> None:
    world = World().shown()
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    world.pod(containerStatuses=[{"name": "trial", "state": waiting}])
    world.see((0, 0))
    assert () == world.kube.verbs("pods")
    world.clock.now += 11

    assert "ImagePullBackOff: no such image" == world.see((0, 0))[0, 0].cause


def test_progress_is_read_every_so_often_and_wakes_with_the_first() -> None:
    world = World().shown(**running())
    world.see((0, 0))
    world.left("progress.json", {"step": 3, "time": "2026-01-01T00:00:04+00:00", "metrics": {"loss": 0.5}})
    assert {} == world.see((0, 0))[0, 0].progress
    before = world.woken
    world.clock.now += 3.1
    live = world.see((0, 0))[0, 0]

    assert (3, {"loss": 0.5}, NOW) == (live.step, live.progress, live.progressed)
    assert before + 1 == world.woken
    assert world.witness.due is not None


def test_a_trial_whose_progress_cannot_be_read_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World().shown(**running())
    world.left("progress.json", {"step": 3, "time": "2026-01-01T00:00:04+00:00", "metrics": {"loss": 0.5}})
    world.see((0, 0))
    world.clock.now += 3.1
    world.see((0, 0))
    away = NOW + timedelta(hours=1)

    def lost(key: str, limit: int | None = None) -> bytes:
        raise StoreError("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "read", lost)
        world.now, world.clock.now = away, 3600.0
        assert away == world.see((0, 0))[0, 0].progressed
    world.now, world.clock.now = away + timedelta(hours=1), 7200.0
    world.see((0, 0))

    assert away + timedelta(hours=1) == world.see((0, 0))[0, 0].progressed
    world.now = away + timedelta(hours=2)
    assert away + timedelta(hours=1) == world.see((0, 0))[0, 0].progressed


def test_nothing_has_to_be_looked_at_again_when_nothing_is_alive() -> None:
    world = World().shown(**COMPLETE).pod(status=0)
    world.see((0, 0))

    assert world.witness.due is None


def test_the_image_of_the_operator_is_for_trials_that_name_none() -> None:
    world = World()
    assert world.runner.spec is not None
    trial = world.runner.spec.trial.model_copy(update={"pod_template": {}})
    world.runner.spec = world.runner.spec.model_copy(update={"trial": trial, "trainer": {}})
    world.runner.launch(order())

    [container] = world.kube.objects["jobs", "team", "digits-0-0"]["spec"]["template"]["spec"]["containers"]
    assert "trainer" == container["image"]
