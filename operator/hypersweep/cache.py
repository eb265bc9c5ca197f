"""The Jobs of a scope as the API server last told them: trimmed, and found by the sweep that owns them."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, Self

from hypersweep.contract import KIND, LABEL_ATTEMPT, LABEL_TRIAL
from hypersweep.job import GPU, exit_of
from hypersweep.kube import Document
from hypersweep.runner import Exit

REMEMBERED = 4096  # deletions: more than can happen while one create is under way


@dataclass(frozen=True, slots=True)
class Job:
    """What a sweep has to know of an attempt's Job: a hundredth of the document."""

    uid: str
    name: str
    namespace: str
    owner: str  # uid of the sweep
    sweep: str
    trial: int
    attempt: int
    created: datetime
    begun: datetime | None  # when the Job controller took it up
    deleting: bool
    suspended: bool
    ready: int
    terminating: int
    gpus: int
    exit: Exit | None
    ended: datetime | None

    @classmethod
    def parse(cls, document: Document) -> Self | None:
        """None for a Job that no HyperSweep controls, or that bears no number."""
        metadata, spec, status = document["metadata"], document["spec"], document.get("status") or {}
        labels = metadata.get("labels") or {}
        references = metadata.get("ownerReferences") or ()
        owners = [owner for owner in references if owner.get("controller") and owner["kind"] == KIND]
        try:
            trial, attempt = int(labels[LABEL_TRIAL]), int(labels[LABEL_ATTEMPT])
        except (KeyError, ValueError):
            return None
        if not owners:
            return None
        return cls(
            uid=metadata["uid"],
            name=metadata["name"],
            namespace=metadata["namespace"],
            owner=owners[0]["uid"],
            sweep=owners[0]["name"],
            trial=trial,
            attempt=attempt,
            created=datetime.fromisoformat(metadata["creationTimestamp"]),
            begun=datetime.fromisoformat(status["startTime"]) if "startTime" in status else None,
            deleting="deletionTimestamp" in metadata,
            suspended=bool(spec.get("suspend")),
            ready=status.get("ready") or 0,
            terminating=status.get("terminating") or 0,
            gpus=_gpus(spec),
            exit=exit_of(document),
            ended=_ended(status),
        )


def _gpus(spec: Mapping[str, Any]) -> int:
    """GPUs of all pods together: what a trial is charged for."""
    containers = spec["template"]["spec"]["containers"]
    limits = [(container.get("resources") or {}).get("limits") or {} for container in containers]
    each = sum(int(count) for limit in limits for name, count in limit.items() if GPU.search(name))
    return each * int(spec.get("parallelism") or 1)


def _ended(status: Mapping[str, Any]) -> datetime | None:
    for condition in status.get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return datetime.fromisoformat(condition["lastTransitionTime"])
    return None


class Jobs:
    """The Jobs of one scope as the API server last told them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._jobs: dict[str, Job] = {}
        self._owned: dict[str, dict[str, Job]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._listed = float("-inf")

    def of(self, owner: str) -> list[Job]:
        """The Jobs that one sweep controls."""
        with self._lock:
            return list(self._owned.get(owner, {}).values())

    def shown(self, uid: str, created: float) -> bool:
        """Whether the cache has caught up with the creation of this Job: it is, or was, in it.

        `created` is the monotonic time at which the creation was answered: a list that began later
        and does not hold the Job tells that it is gone, though no watch ever showed it.
        """
        with self._lock:
            return uid in self._jobs or uid in self._gone or self._listed > created

    def owners(self) -> set[str]:
        with self._lock:
            return set(self._owned)

    def put(self, job: Job) -> bool:
        """Whether that changed anything that a sweep looks at."""
        with self._lock:
            before = self._jobs.get(job.uid)
            self._put(job)
            return before != job

    def drop(self, uid: str) -> Job | None:
        with self._lock:
            return self._drop(uid)

    def replace(self, jobs: Mapping[str, Job], began: float = float("-inf")) -> list[Job]:
        """The Jobs that changed, appeared or vanished since: a deletion may have been missed.

        `began` is the monotonic time at which the list was asked for.
        """
        with self._lock:
            self._listed = max(self._listed, began)
            changed = [job for job in jobs.values() if self._jobs.get(job.uid) != job]
            vanished = [job for uid in set(self._jobs) - set(jobs) if (job := self._drop(uid))]
            for job in jobs.values():
                self._put(job)
            return changed + vanished

    def _put(self, job: Job) -> None:
        self._jobs[job.uid] = job
        self._owned.setdefault(job.owner, {})[job.uid] = job

    def _drop(self, uid: str) -> Job | None:
        job = self._jobs.pop(uid, None)
        self._gone[uid] = None
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)
        if job is None:
            return None
        owned = self._owned[job.owner]
        del owned[uid]
        if not owned:
            del self._owned[job.owner]
        return job
