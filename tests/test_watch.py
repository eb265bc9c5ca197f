import json
from threading import Event
from typing import Any

import pytest

from hypersweep.cache import Job, Jobs
from hypersweep.kube import JOBS, Document, KubeError
from hypersweep.runner import Exit
from hypersweep.watch import SILENCE, Watch

from .clock import Clock, Ticking
from .fakekube import FakeKube
from .jobs import OWNER, a_job, ended, running


def parsed(document: Document) -> Job:
    job = Job.parse(document)
    assert job is not None
    return job


def event(kind: str, document: Document) -> bytes:
    return json.dumps({"type": kind, "object": document}).encode()


def bookmark(version: int) -> bytes:
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


GONE = json.dumps({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}).encode()


class World:
    """A watch over a fake API that stops when the fake has nothing more to tell."""

    def __init__(self, *watches: list[bytes | Exception], waits: int = 20) -> None:
        self.kube = FakeKube()
        self.kube.watches = list(watches)
        self.clock = Clock()
        self.stopping = Ticking(self.clock, waits)
        self.told: list[str] = []
        self.watch = Watch(self.kube, None, self.changed, self.stopping, self.clock)

    def changed(self, job: Job) -> None:
        cached = any(known.uid == job.uid for known in self.watch.jobs.of(job.owner))
        self.told.append(f"{job.name} {'there' if cached else 'gone'}")

    def run(self) -> "World":
        opened = self.kube.watch

        def watch(*args: Any, **options: Any) -> Any:
            if not self.kube.watches:
                self.stopping.set()
            return opened(*args, **options)

        self.kube.watch = watch
        self.watch.run()
        return self


def test_a_job_is_kept_small_and_by_its_owner() -> None:
    jobs = Jobs()
    jobs.put(parsed(a_job(3, 1, **running())))

    [job] = jobs.of(OWNER)
    assert (3, 1, 4, 1, None) == (job.trial, job.attempt, job.gpus, job.ready, job.exit)
    assert not jobs.of("another")


def test_jobs_of_nobody_or_without_a_number_are_not_ours() -> None:
    free, unnumbered = a_job(), a_job()
    free["metadata"]["ownerReferences"] = []
    unnumbered["metadata"]["labels"] = {}

    assert [None, None] == [Job.parse(free), Job.parse(unnumbered)]


def test_changes_are_told_after_the_cache_shows_them() -> None:
    world = World(
        [
            event("ADDED", a_job(0)),
            event("MODIFIED", a_job(0, version=2, **running())),
            event("DELETED", a_job(0, version=3)),
        ]
    ).run()

    assert ["digits-0-0 there", "digits-0-0 there", "digits-0-0 gone"] == world.told


def test_what_no_sweep_looks_at_is_not_told() -> None:
    world = World([event("ADDED", a_job(0)), event("MODIFIED", a_job(0, version=2, uncounted={}))]).run()

    assert ["digits-0-0 there"] == world.told


def test_a_watch_that_ends_goes_on_from_its_last_version_without_a_list() -> None:
    broken: list[bytes | Exception] = [bookmark(7), KubeError(0, "NoAnswer", "reset")]
    world = World([bookmark(6)], broken, [event("ADDED", a_job(0, version=9))]).run()

    assert ["0", "6", "7"] == [name for verb, _, name in world.kube.calls if verb == "watch"][:3]
    assert 1 == world.kube.verbs("jobs").count("list")


def test_an_expired_watch_lists_again_and_notices_what_was_deleted_meanwhile() -> None:
    world = World([event("ADDED", a_job(0)), event("ADDED", a_job(1)), GONE], [])
    world.kube.put(JOBS, "team", a_job(1, uid="job-1-0"))
    world.run()

    assert "digits-0-0 gone" in world.told
    assert ["digits-1-0"] == [job.name for job in world.watch.jobs.of(OWNER)]


def test_an_api_server_that_is_away_is_asked_ever_less_often() -> None:
    world = World(waits=8)
    world.kube.refusals["list"] = KubeError(0, "NoAnswer", "refused")
    world.run()

    assert 9 == world.kube.verbs("jobs").count("list")
    assert 20 < world.clock.now - 100


def test_a_line_that_was_cut_is_asked_for_again() -> None:
    world = World([event("ADDED", a_job(0))[:-5]], [event("ADDED", a_job(0))]).run()

    assert ["digits-0-0 there"] == world.told


def test_a_watch_without_a_sign_of_life_is_stalled() -> None:
    world = World()

    assert not world.watch.stalled
    world.clock.now += 3 * SILENCE + 1
    assert world.watch.stalled


def test_it_is_synced_once_everything_was_listed() -> None:
    world = World()
    assert not world.watch.synced.is_set()

    assert world.run().watch.synced.is_set()


def test_a_deletion_stays_known_to_whoever_created_the_job() -> None:
    jobs = Jobs()
    jobs.put(parsed(a_job(0)))
    jobs.drop("job-0-0")

    assert jobs.shown("job-0-0", created=0.0)
    assert not jobs.shown("never-there", created=0.0)


def test_a_list_that_began_after_a_creation_tells_that_the_job_is_gone() -> None:
    jobs = Jobs()
    jobs.replace({}, began=5.0)

    assert not jobs.shown("job-0-0", created=6.0)
    assert jobs.shown("job-0-0", created=4.0)


@pytest.mark.parametrize("pages", [1, 3])
def test_all_pages_of_a_list_are_read(pages: int) -> None:
    world = World()
    for number in range(pages):
        world.kube.put(JOBS, "team", a_job(number))
    whole = world.kube.list

    def paged(resource: Any, namespace: Any, **query: Any) -> Document:
        found = whole(resource, namespace, **query)
        page = int(query.get("continue", 0))
        more = {"continue": str(page + 1)} if page + 1 < pages else {}
        return {"metadata": found["metadata"] | more, "items": [found["items"][page]]}

    world.kube.list = paged
    world.run()

    assert pages == len(world.watch.jobs.of(OWNER))


def test_the_end_of_a_job_is_read_once_on_arrival() -> None:
    assert Exit.COMPLETE is parsed(a_job(**ended())).exit


def test_stopping_ends_the_watch() -> None:
    stopping = Event()
    stopping.set()

    Watch(FakeKube(), None, lambda job: None, stopping).run()
