"""List-and-watch of Jobs: keeps a cache, replaces it on every list, and tells of every change."""

import json
import logging
import random
import time
from collections.abc import Callable
from threading import Event
from typing import Any

from hypersweep.cache import Job, Jobs
from hypersweep.contract import LABEL_MANAGED_BY, MANAGER
from hypersweep.kube import JOBS, Document, Kube, KubeError

SELECTOR = f"{LABEL_MANAGED_BY}={MANAGER}"
PAGE = 500
SILENCE = 75.0  # seconds; bookmarks come every 60
STALLED = 3 * SILENCE
LONGEST_BACKOFF = 15.0
SHORT = 1.0  # a watch that ends so soon has failed, whatever the answer was

log = logging.getLogger(__name__)


class Expired(Exception):
    """The API server does not know this version any more: list again."""


class Watch:
    """Keeps `jobs` like the API server's, for ever; `changed` runs after the cache shows the change."""

    def __init__(
        self,
        kube: Kube,
        namespace: str | None,
        changed: Callable[[Job], None],
        stopping: Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.jobs = Jobs()
        self.namespace = namespace
        self.synced = Event()
        self.restarts = 0
        self.last_event = clock()  # a bookmark or any other sign of life
        self._kube = kube
        self._changed = changed
        self._stopping = stopping
        self._clock = clock

    @property
    def stalled(self) -> bool:
        return self._clock() - self.last_event > STALLED

    def run(self) -> None:
        """List, then watch; the body of a thread."""
        version = ""
        failures = 0
        while not self._stopping.is_set():
            try:
                if not version:
                    version = self._list()
                begun = self._clock()
                version = self._follow(version)
                if self._clock() - begun > SHORT:
                    failures = 0
                else:
                    self._pause(failures)
                    failures += 1
            except Expired:
                log.info("watch of Jobs expired: listing again")
                version = ""
                self._pause(failures)
                failures += 1
            except (KubeError, ValueError) as error:  # ValueError: a line cut in the middle
                log.warning("watch of Jobs interrupted: %s", error)
                self._pause(failures)
                failures += 1
            self.restarts += 1

    def _pause(self, failures: int) -> None:
        """Half of it by chance, so that many clients do not return at once."""
        limit = min(0.5 * 2.0 ** min(failures, 10), LONGEST_BACKOFF)
        self._stopping.wait(limit * (0.5 + random.random() / 2))

    def _list(self) -> str:
        found: dict[str, Job] = {}
        began = time.monotonic()
        query: dict[str, Any] = {"labelSelector": SELECTOR, "limit": PAGE}
        while True:
            try:
                page = self._kube.list(JOBS, self.namespace, **query)
            except KubeError as error:
                if error.status == 410:
                    raise Expired from error
                raise
            self._alive()
            found |= {job.uid: job for document in page["items"] if (job := Job.parse(document))}
            metadata = page["metadata"]
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        changed = self.jobs.replace(found, began)
        self.synced.set()
        for job in changed:
            self._changed(job)
        return str(metadata["resourceVersion"])

    def _follow(self, version: str) -> str:
        """Follow one watch to its end; the version to go on from. Raises Expired, KubeError."""
        query = {
            "labelSelector": SELECTOR,
            "resourceVersion": version,
            "timeoutSeconds": random.randint(240, 480),  # a watch for ever would outlive its load balancer
        }
        with self._kube.watch(JOBS, self.namespace, SILENCE, **query) as lines:
            try:
                for line in lines:
                    self._alive()
                    version = self._apply(json.loads(line)) or version
                    if self._stopping.is_set():
                        break
            except KubeError as error:
                log.debug("watch ended at %s: %s", version, error)
        return version

    def _apply(self, event: Document) -> str:
        document = event["object"]
        if event["type"] == "ERROR":
            code = document.get("code") or 0
            if code == 410:
                raise Expired
            raise KubeError(code, document.get("reason", ""), document.get("message", ""))
        if event["type"] != "BOOKMARK" and (job := Job.parse(document)):
            if event["type"] == "DELETED":
                self.jobs.drop(job.uid)
                self._changed(job)
            elif self.jobs.put(job):
                self._changed(job)
        return str(document["metadata"]["resourceVersion"])

    def _alive(self) -> None:
        self.last_event = self._clock()
