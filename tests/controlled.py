"""A controller over a fake API, and sweeps that it runs."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypersweep.cache import Job, Jobs
from hypersweep.cluster import ClusterRunner, Place
from hypersweep.controller import Controller
from hypersweep.kube import JOBS, PODS, SWEEPS
from hypersweep.metrics import Registry
from hypersweep.model import NoModel
from hypersweep.opening import Opened
from hypersweep.reconcile import Sweep
from hypersweep.recorder import Recorder
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
BUILT_IN: dict[str, Any] = {
    "parameters": [{"name": "lr", "float": {"min": 0.01, "max": 1}}],
    "objectives": [{"metric": "val_loss", "goal": "minimize"}],
    "trial": {"podTemplate": {"spec": {"containers": [{"name": "trial", "image": "trainer"}]}}},
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
        return Opened(sweep, runner, witness, place, self.durable)

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

    def drain(self) -> None:
        """Every pod is deleted, the completed ones, too; nobody had read them."""
        for name in [name for name in self.kube.objects if name[0] == PODS.plural]:
            del self.kube.objects[name]

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
    def events(self) -> list[dict[str, Any]]:
        return [body for (plural, _, _), body in self.kube.objects.items() if plural == "events"]

    @property
    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.events]


def run_to_the_end(world: World) -> World:
    world.apply().work()
    for _ in range(6):
        world.finish()
        world.pass_time(3)
    return world
