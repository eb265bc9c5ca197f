"""Writes the status of sweeps: when it changed, not too often, and never to another sweep of the name."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from hypersweep import status
from hypersweep.contract import KIND, MANAGER
from hypersweep.kube import SWEEPS, Kube, KubeError
from hypersweep.reconcile import SweepGone
from hypersweep.recorder import Recorder
from hypersweep.status import Condition
from hypersweep.tracked import TERMINAL, Key, Tracked
from hypersweep.workqueue import WorkQueue

PERIOD = 2.0  # seconds between two writes of a sweep's status, the last one aside


class Publisher:
    def __init__(
        self,
        kube: Kube,
        queue: WorkQueue[Key],
        recorder: Recorder,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._queue = queue
        self._recorder = recorder
        self._clock = clock
        self._now = now

    def fault(self, tracked: Tracked, condition: Condition) -> None:
        """Report one condition over the last status: what was known of the sweep stays true."""
        told = tracked.condition(condition.type) or {}
        merged = status.merge(tracked.conditions, [condition], tracked.generation, self._now())
        others = [other for other in tracked.conditions if other["type"] != condition.type]
        # a sweep that ended is not over at a generation for which no pass has decided so
        observed = (
            {} if tracked.status.get("phase") in TERMINAL else {"observedGeneration": tracked.generation}
        )
        document = {
            "phase": "Pending",
            **tracked.status,
            **observed,
            "reason": condition.reason,
            "message": condition.message[: status.TEXT],
            "conditions": [*others, *merged],
        }
        if any(told.get(field) != merged[0][field] for field in ("reason", "message")):
            self._recorder.record(tracked.metadata, condition.reason, condition.message, warning=True)
        if self.may(tracked, document["phase"]):
            self.publish(tracked, document)

    def may(self, tracked: Tracked, phase: str) -> bool:
        """Whether a status may be written now; if not, the sweep comes back when it may."""
        wait = tracked.written + PERIOD - self._clock()
        if wait <= 0 or phase in TERMINAL:
            return True
        self._queue.add_at(tracked.key, self._clock() + wait)
        return False

    def publish(self, tracked: Tracked, document: Mapping[str, Any]) -> None:
        """Write the status if it changed. Raises SweepGone."""
        if document == tracked.status:
            return
        tracked.written = self._clock()
        try:
            self._apply(tracked, document)
        except KubeError as error:
            if error.status != 409:
                raise
            # somebody changed the object: look whether it is still the same one
            fresh = self._kube.get(SWEEPS, *tracked.key)
            if fresh["metadata"]["uid"] != tracked.uid:
                raise SweepGone from error
            if tracked.see(fresh):
                self._queue.add(tracked.key)
            self._apply(tracked, document)

    def _apply(self, tracked: Tracked, document: Mapping[str, Any]) -> None:
        namespace, name = tracked.key
        body = {
            "apiVersion": SWEEPS.version,
            "kind": KIND,
            # the API server ignores a uid here, but not the version
            "metadata": {"name": name, "resourceVersion": tracked.version},
            "status": document,
        }
        try:
            answer = self._kube.apply_status(SWEEPS, namespace, body, MANAGER)
        except KubeError as error:
            if error.status == 404:
                raise SweepGone from error
            raise
        tracked.wrote(document, answer)
