"""The runner on Kubernetes: each attempt of one sweep is a Job, seen through the watch's cache."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hypersweep import job, pods, witness
from hypersweep.api import SweepSpec
from hypersweep.cache import Job, Jobs
from hypersweep.evidence import Progress
from hypersweep.kube import JOBS, SERVICES, Document, Kube, KubeError, Resource
from hypersweep.pods import Pod
from hypersweep.runner import Conflict, Evidence, Exit, Key, Live, Order, Phase
from hypersweep.witness import LOOK, Witness

REFUSALS = (400, 403, 422)
HAUNT = 3.0  # seconds between two looks for pods of a Job that is gone
START_LOOK = 10.0  # seconds before an attempt that has not started is looked at
NO_PROGRESS = Progress()
NEVER_THERE = "nothing of it exists: it never started, or somebody deleted its Job"
PODS_GONE = "its pods are gone"
UNREAD = "it completed, but its pod was deleted before the result in its termination message was read"


@dataclass(frozen=True)
class Place:
    """What the trials of a sweep are told of where they run and write."""

    image: str  # of trials that name none
    store_url: str | None = None  # the sweep's own prefix
    endpoint: str | None = None
    region: str | None = None
    secret: str | None = None


class ClusterRunner:
    """The Jobs of one sweep; an own write shows at once, however far the watch lags behind."""

    def __init__(
        self,
        kube: Kube,
        jobs: Jobs,
        witness: Witness,
        namespace: str,
        sweep: str,
        uid: str,
        place: Place,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.spec: SweepSpec | None = None  # as of this pass: how trials run is live from the next attempt
        self.view: Mapping[Key, Live] = {}  # what the last `observe` saw
        self.refused = ""  # why the API server does not take an attempt's Job; the next launch tries again
        self._kube = kube
        self._jobs = jobs
        self._witness = witness
        self._namespace = namespace
        self._sweep = sweep
        self._uid = uid
        self._place = place
        self._now = now
        self._created: dict[str, tuple[Job, float]] = {}  # by us, not yet in the watch's cache
        self._stopping: set[str] = set()
        self._forgotten: set[str] = set()
        self._started: dict[str, datetime] = {}
        self._lost: dict[str, str] = {}
        self._moved: dict[str, tuple[int | None, datetime]] = {}  # its latest step, and when that was seen
        self._uids: dict[Key, str] = {}  # of the Jobs that had pods when they were seen last
        self._served = False

    def observe(self, expected: Collection[Key]) -> Mapping[Key, Live]:
        self.refused = ""
        known = self._known()
        self._tidy({seen.uid for seen in known})
        found = {(seen.trial, seen.attempt): self._live(seen) for seen in known}
        view = {key: live for key, live in found.items() if live is not None}
        self.view = view | {key: self._gone(key) for key in expected if key not in view}
        self._witness.settle()
        return self.view

    def launch(self, order: Order) -> None:
        assert self.spec is not None
        if self.spec.trial.nodes > 1 and not self._served:
            self._create(SERVICES, job.service(self._sweep, self._namespace, self._uid))
            self._served = True
        place = self._place
        body = job.render(
            self.spec,
            self._sweep,
            self._namespace,
            self._uid,
            order,
            image=place.image,
            store_url=place.store_url,
            endpoint=place.endpoint,
            region=place.region,
            secret=place.secret,
        )
        try:
            created = Job.parse(self._create(JOBS, body))
        except KubeError as error:
            if error.status not in REFUSALS:
                raise
            self.refused = error.message  # it may be quota, or a podTemplate that the user can change
            return
        assert created is not None
        self._created[created.uid] = (created, time.monotonic())

    def stop(self, key: Key) -> None:
        for seen in self._of(key):
            if not seen.deleting and seen.uid not in self._stopping:
                self._delete(seen, "Foreground")  # it is gone only when its pods are
                self._stopping.add(seen.uid)

    def forget(self, key: Key) -> None:
        for seen in self._of(key):
            if seen.uid not in self._forgotten:
                self._delete(seen, "Background")
                self._forgotten.add(seen.uid)

    # -- writing

    def _create(self, resource: Resource, body: Document) -> Document:
        """The object as it is: ours, made by this call or by one whose answer was lost."""
        try:
            return self._kube.create(resource, self._namespace, body)
        except KubeError as error:
            if error.status != 409 or error.reason != "AlreadyExists":
                raise
        name = body["metadata"]["name"]
        document = self._kube.get(resource, self._namespace, name)
        owners = document["metadata"].get("ownerReferences") or ()
        if not any(owner.get("controller") and owner["uid"] == self._uid for owner in owners):
            raise Conflict(f"{resource.plural}/{name}")
        return document

    def _delete(self, seen: Job, propagation: str) -> None:
        try:
            self._kube.delete(JOBS, self._namespace, seen.name, seen.uid, propagation)
        except KubeError as error:
            if error.status not in (404, 409):  # 409: another one of its name, so this one is gone
                raise

    # -- observing

    def _known(self) -> list[Job]:
        """The Jobs in the cache and those of ours that it does not show yet, the newest last."""
        for uid, (_, created) in list(self._created.items()):
            if self._jobs.shown(uid, created):
                self._created.pop(uid, None)
        ours = {uid: seen for uid, (seen, _) in list(self._created.items())}
        cached = {seen.uid: seen for seen in self._jobs.of(self._uid)}
        return sorted((ours | cached).values(), key=lambda seen: seen.created)

    def _of(self, key: Key) -> list[Job]:
        return [seen for seen in self._known() if (seen.trial, seen.attempt) == key]

    def _tidy(self, uids: set[str]) -> None:
        self._stopping &= uids
        self._forgotten &= uids
        for memory in (self._started, self._lost, self._moved):
            for uid in memory.keys() - uids:
                del memory[uid]

    def _live(self, seen: Job) -> Live | None:
        """One attempt; None for what only waits to be removed."""
        self._notice_start(seen)
        started = self._started.get(seen.uid)
        if seen.exit is not None or self._is_lost(seen):
            if seen.uid in self._forgotten:
                return None
            return self._ended(seen, self._told(seen, Phase.ENDED, started))
        if self._leaving(seen):
            return self._told(seen, Phase.STOPPING, started)
        if started is None:
            return self._told(seen, Phase.PENDING, None, self._waiting(seen))
        self._uids[seen.trial, seen.attempt] = seen.uid
        progress = self._witness.progress((seen.trial, seen.attempt), seen.uid)
        return replace(
            self._told(seen, Phase.RUNNING, started, progress=progress),
            progressed=self._progressed(seen, progress),
        )

    def _progressed(self, seen: Job, progress: Progress) -> datetime | None:
        """When progress was seen last, or could not be, on this clock: the pod's may be another one."""
        if not progress:
            return None
        uid = seen.uid
        blind = self._witness.is_blind((seen.trial, seen.attempt), uid)
        if blind or uid not in self._moved or self._moved[uid][0] != progress.step:
            self._moved[uid] = (progress.step, self._now())
        return self._moved[uid][1]

    def _told(
        self,
        seen: Job,
        phase: Phase,
        started: datetime | None,
        cause: str = "",
        progress: Progress = NO_PROGRESS,
    ) -> Live:
        return Live(
            trial=seen.trial,
            attempt=seen.attempt,
            phase=phase,
            created=seen.created,
            started=started,
            cause=cause,
            step=progress.step,
            progress=progress.metrics,
            gpus=seen.gpus,
        )

    def _notice_start(self, seen: Job) -> None:
        """Its pods tell the exact time at its end; until then a second more or less does not matter."""
        if seen.ready and seen.uid not in self._started:
            before = self.view.get((seen.trial, seen.attempt))
            watched = before is not None and before.phase is Phase.PENDING
            self._started[seen.uid] = self._now() if watched else seen.begun or self._now()

    def _leaving(self, seen: Job) -> bool:
        return seen.deleting or seen.uid in self._stopping or seen.uid in self._forgotten

    def _is_lost(self, seen: Job) -> bool:
        """Whether a pod of it stays terminating for ever, as on a node that is no more."""
        if seen.uid not in self._lost and (seen.terminating or self._leaving(seen)):
            found = self._witness.pods(seen.uid, "leaving", after=LOOK, every=LOOK)
            if pod := pods.stuck(found or (), self._now()):
                self._lost[seen.uid] = f"pod {pod.name} does not terminate: its node does not answer"
        return seen.uid in self._lost

    def _waiting(self, seen: Job) -> str:
        """Why an attempt has not started, once that takes long."""
        found = self._witness.pods(seen.uid, "starting", after=START_LOOK, every=LOOK)
        if found is None:
            return ""
        return pods.cause(found) if found else self._witness.refusal(seen.uid)

    def _ended(self, seen: Job, live: Live) -> Live:
        """Its end and what it left: unknown until all that was asked for has answered."""
        said = seen.exit or Exit.LOST
        live = replace(live, exit=said, ended=seen.ended or self._now())
        found = self._witness.pods(seen.uid, "ended")
        report = self._witness.report(live.key, seen.uid)
        checkpointed = said is Exit.CHECKPOINTED  # which counts only if it had made progress
        last = self._witness.last_progress(live.key, seen.uid) if checkpointed else NO_PROGRESS
        if found is None or report is None or last is None:
            return live
        result = report.result or (pods.result(found) if said is Exit.COMPLETE else None)
        taken = _taken(said, found, told=result is not None or bool(report.problem))
        why = self._lost.get(seen.uid) or pods.cause(found) or taken
        return replace(
            live,
            exit=Exit.LOST if taken else said,
            started=pods.began(found) or live.started,
            ended=pods.finished(found) or live.ended,
            cause="; ".join(text for text in (why, report.problem) if text),
            evidence=Evidence.ABSENT if result is None else Evidence.THERE,
            result=result,
            step=last.step,
        )

    def _gone(self, key: Key) -> Live:
        """An expected attempt of which nothing exists: only the store can tell whether it ever did."""
        report = None if self._haunted(key) else self._witness.report(key, "")
        evidence = Evidence.UNKNOWN
        if report is not None:
            evidence = Evidence.ABSENT if report.result is None else Evidence.THERE
        return Live(
            *key,
            phase=Phase.GONE,
            created=self._now(),
            exit=Exit.LOST,
            cause=NEVER_THERE,
            evidence=evidence,
            result=report.result if report else None,
        )

    def _haunted(self, key: Key) -> bool:
        """Whether pods of a Job that somebody deleted may still run: their grace is not over."""
        uid = self._uids.get(key)
        if uid is None:
            return False
        found = self._witness.pods(uid, "gone", every=HAUNT)
        if found is not None and all(pod.phase in ("Succeeded", "Failed") for pod in found):
            del self._uids[key]
            return False
        return True


def _taken(said: Exit, found: Sequence[Pod], told: bool) -> str:
    """What was done to an attempt's pods from outside; `told` says that it left a word of its own."""
    if said is Exit.ERROR and witness.disturbed(found):
        return PODS_GONE
    if said is Exit.COMPLETE and not told and not any(pod.index == 0 for pod in found):
        return UNREAD  # a drain evicts completed pods, too
    return ""
