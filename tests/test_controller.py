import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypersweep import api
from hypersweep.cache import Job, Jobs
from hypersweep.cluster import ClusterRunner, Place
from hypersweep.controller import Controller
from hypersweep.journal import Ended, decode
from hypersweep.kube import JOBS, PODS, SWEEPS, KubeError
from hypersweep.metrics import Registry
from hypersweep.model import NoModel
from hypersweep.opening import Opened
from hypersweep.reconcile import Sweep
from hypersweep.recorder import Recorder
from hypersweep.settings import StoreNotAllowed
from hypersweep.store import StoreError
from hypersweep.witness import Pools, Witness
from hypersweep.workqueue import WorkQueue

from .clock import Clock
from .executor import Delayed
from .fakekube import FakeKube
from .jobs import a_pod, ended
from .world import MemoryJournal

KEY = ("team", "digits")
SPEC = {
    "objectives": [{"metric": "loss", "goal": "minimize"}],
    "parameters": [{"name": "lr", "float": {"min": 0, "max": 1}}],
    "strategy": {"grid": {"points": 3}},
    "parallelism": 3,
    "trial": {
        "podTemplate": {"spec": {"containers": [{"name": "trial", "image": "python", "command": ["python"]}]}}
    },
}


class World:
    """A controller over a fake API; its sweeps journal in memory."""

    durable = True

    def __init__(self) -> None:
        self.kube = FakeKube()
        self.clock = Clock()
        self.queue: WorkQueue[tuple[str, str]] = WorkQueue(self.clock)
        self.jobs = Jobs()
        self.pool = Delayed()
        self.registry = Registry("1.2.3")
        self.journals: dict[str, MemoryJournal] = {}
        self.opens = 0
        self.failure: Exception | None = None
        self.models: dict[str, str] = {}  # of other sweeps
        self.controller = self.a_controller()

    def a_controller(self) -> Controller:
        """A new process."""
        return Controller(
            self.kube,
            lambda namespace: self.jobs,
            self,
            self.queue,
            self.registry,
            Recorder(self.kube, self.pool),
            self.clock,
            self.now,
        )

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.clock.now)

    def open(
        self, key: Any, uid: str, spec: Any, reported: Any, jobs: Jobs, wake: Any, confirm: Any
    ) -> Opened:
        """As `Opening.open`."""
        self.opens += 1
        if self.failure:
            raise self.failure
        place = Place("trainer")
        witness = Witness(self.kube, key[0], None, Pools(self.pool, self.pool), wake, self.clock)
        runner = ClusterRunner(self.kube, jobs, witness, *key, uid, place, self.now)
        journal = self.journals.setdefault(uid, MemoryJournal())
        sweep = Sweep(uid, journal, runner, None, confirm, find=self.find)
        return Opened(sweep, runner, witness, place, True)

    def find(self, name: str) -> str:
        if name not in self.models:
            raise NoModel(f"sweep {name}", "NotSucceeded", "must have succeeded, but is Running")
        return self.models[name]

    def apply(self, uid: str = "uid-a", generation: int = 1, **changes: Any) -> "World":
        """The user applies a manifest, and Kopf tells of it."""
        body = {
            "apiVersion": "hypersweep.io/v1alpha1",
            "kind": "HyperSweep",
            "metadata": {"name": KEY[1], "uid": uid, "generation": generation},
            "spec": SPEC | changes,
        }
        held = self.kube.objects.get((SWEEPS.plural, *KEY), {})
        if held and held["metadata"]["uid"] == uid:
            body["status"] = held.get("status", {})
        self.controller.seen(self.kube.put(SWEEPS, KEY[0], body))
        return self

    def delete(self) -> None:
        """The sweep and all that it owns vanish; nobody tells of it."""
        self.kube.objects.clear()

    def work(self, passes: int = 20) -> "World":
        """Passes until nothing is due."""
        for _ in range(passes):
            if not self.queue.depth:
                self.pool.run()
            if not self.queue.depth:
                break
            key = self.queue.get()
            assert key is not None
            self.controller.run(key)
            self.queue.done(key)
            self.show()
        self.pool.run()
        return self

    def show(self) -> None:
        """The watch catches up."""
        found = {}
        for (plural, _, _), document in self.kube.objects.items():
            if plural == "jobs" and (job := Job.parse(document)):
                found[job.uid] = job
        for job in self.jobs.replace(found):
            self.controller.changed(job)

    def finish(self, loss: float = 0.5, **told: Any) -> None:
        """Every Job completes with a termination message."""
        for (plural, namespace, name), document in list(self.kube.objects.items()):
            if plural == "jobs":
                self.kube.put(JOBS, namespace, document | {"status": ended()})
                message = json.dumps({"loss": loss} | told)
                pod = a_pod(document["metadata"]["uid"], status=0, message=message)
                pod["metadata"]["name"] = f"{name}-0"
                self.kube.put(PODS, namespace, pod)
        self.show()

    def pass_time(self, seconds: float) -> "World":
        self.clock.now += seconds
        self.queue.add_at(KEY, self.clock.now)
        return self.work()

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kube.objects[SWEEPS.plural, *KEY].get("status", {})
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        return next(found for found in self.status["conditions"] if found["type"] == kind)

    @property
    def job_names(self) -> list[str]:
        return sorted(name for plural, _, name in self.kube.objects if plural == "jobs")

    @property
    def reasons(self) -> list[str]:
        events = [body for (plural, _, _), body in self.kube.objects.items() if plural == "events"]
        return [event["reason"] for event in events]


def run_to_the_end(world: World) -> World:
    world.apply().work()
    for _ in range(6):
        world.finish()
        world.pass_time(3)
    return world


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


def test_a_new_version_of_the_spec_wakes_the_sweep() -> None:
    world = World().apply()
    world.work()
    world.apply(generation=2, parallelism=1)

    assert 1 == world.queue.depth


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


def test_an_api_server_that_fails_is_tried_again_ever_later() -> None:
    world = World().apply()
    world.kube.refusals["get"] = KubeError(0, "NoAnswer", "timeout")
    for _ in range(4):
        world.work()
        world.clock.now += 60
    del world.kube.refusals["get"]
    world.pass_time(60)

    assert ["digits-0-0"] == world.job_names
    assert 1 < world.queue.retries < 6


def test_a_store_that_is_away_is_told_and_tried_again() -> None:
    world = World()
    world.failure = StoreError("connection refused")
    world.apply().work()
    condition = world.condition("StoreAvailable")
    assert ("False", "Unreachable", "connection refused") == (
        condition["status"],
        condition["reason"],
        condition["message"],
    )
    world.failure = None
    world.pass_time(3)

    assert "True" == world.condition("StoreAvailable")["status"]
    assert ["digits-0-0"] == world.job_names


def test_a_store_that_is_not_allowed_is_told() -> None:
    world = World()
    world.failure = StoreNotAllowed("spec.store.url: it must be left out")
    world.apply().work()

    assert "NotAllowed" == world.condition("StoreAvailable")["reason"]


def test_a_job_that_is_refused_is_told_and_tried_again() -> None:
    world = World().apply()
    world.kube.refusals["create"] = KubeError(403, "Forbidden", "exceeded quota: gpus")
    world.work()
    assert "exceeded quota: gpus" == world.condition("Launching")["message"]
    del world.kube.refusals["create"]
    world.pass_time(3)
    world.pass_time(3)

    assert ["digits-0-0"] == world.job_names
    assert not [found for found in world.status["conditions"] if found["type"] == "Launching"]


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


def test_a_sweep_that_is_extended_while_its_store_is_away_goes_on_when_it_is_back() -> None:
    world = World().apply(maxTrials=2).work()
    for _ in range(6):
        world.finish()
        world.pass_time(3)
    assert ("Succeeded", "2/2") == (world.status["phase"], world.status["progress"])

    world.controller = world.a_controller()
    world.failure = StoreError("it is away")
    world.apply(generation=2, maxTrials=3).work()
    world.pass_time(5)
    world.failure = None
    world.pass_time(60)
    world.finish()
    world.pass_time(3)

    assert ("Succeeded", "3/3", 2) == (
        world.status["phase"],
        world.status["progress"],
        world.status["observedGeneration"],
    )


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


def test_a_sweep_that_is_over_keeps_its_numbers_and_not_its_history() -> None:
    world = run_to_the_end(World())

    tracked = world.controller._tracked[KEY]
    assert tracked.opened is None
    assert tracked.series is not None
    assert tracked.series.history is None


# -- what the built-in trainer asks of a sweep

BUILT_IN: dict[str, Any] = {
    "parameters": [{"name": "lr", "float": {"min": 0.01, "max": 1}}],
    "objectives": [{"metric": "val_loss", "goal": "minimize"}],
    "trial": {"podTemplate": {"spec": {"containers": [{"name": "trial", "image": "trainer"}]}}},
}


def test_a_sweep_waits_for_the_model_that_it_starts_from_and_says_why() -> None:
    world = World().apply(**BUILT_IN, trainer={"data": "digits", "pretrained": "sweep://base/best"}).work()
    condition = world.condition("PretrainedAvailable")

    assert ([], ["NotSucceeded"]) == (world.job_names, world.reasons)
    assert ("False", "NotSucceeded", "pretrained: sweep base must have succeeded, but is Running") == (
        condition["status"],
        condition["reason"],
        condition["message"],
    )
    assert "Pending" == world.status["phase"]

    world.models["base"] = "s3://sweeps/base/model"
    world.pass_time(60)
    container = world.kube.objects["jobs", "team", "digits-0-0"]["spec"]["template"]["spec"]["containers"][0]

    assert {"name": "HYPERSWEEP_PRETRAINED", "value": "s3://sweeps/base/model"} in container["env"]
    assert "True" == world.condition("PretrainedAvailable")["status"]


def test_a_failed_check_is_told_and_the_sweep_goes_on() -> None:
    world = World().apply(**BUILT_IN, trainer={"data": "digits"}).work()
    for _ in range(6):
        world.finish(val_loss=0.5, checks="initial_loss: it is 9.1 instead of 2.3")
        world.pass_time(3)
    condition = world.condition("Checked")

    assert ("False", "ChecksFailed", "initial_loss: it is 9.1 instead of 2.3") == (
        condition["status"],
        condition["reason"],
        condition["message"],
    )
    assert "3/3" == world.status["progress"]
    assert ["Running", "ChecksFailed", "Succeeded"] == world.reasons


def test_a_failed_check_ends_a_sweep_that_asks_for_it() -> None:
    world = World().apply(**BUILT_IN, trainer={"data": "digits", "checks": "stop"}).work()
    for _ in range(4):
        world.finish(val_loss="nan", reason="a check failed", checks="input_mean: it is 112")
        world.pass_time(3)

    assert ("Failed", "ChecksFailed", "input_mean: it is 112") == tuple(
        world.status[name] for name in ("phase", "reason", "message")
    )
    assert ["Running", "Failed"] == world.reasons
    assert [] == world.job_names
