"""A Lease that only one operator holds: two would each believe that they decide."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event
from typing import Any

from hypersweep.kube import LEASES, Document, Kube, KubeError

DURATION = 15.0  # seconds: without a renewal for so long, others may take it
DEADLINE = 10.0  # without a renewal for so long, the holder gives up
PERIOD = 2.0  # between two tries
TIMEOUT = (2.0, 2.0)  # of each request: a late answer is a failed try

log = logging.getLogger(__name__)


class Lease:
    """Take a Lease, keep it, give it back; the clocks of other machines are never compared."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._lease: Document | None = None  # as it was last read or written
        self._changed = 0.0  # when that one was first seen, on our own clock
        self._renewed = 0.0

    def acquire(self, stopping: Event) -> bool:
        """Wait until the Lease is ours; False when asked to stop before."""
        holder = ""
        while not stopping.is_set():
            if self.renew():
                return True
            if (other := self._holder()) != holder:
                holder = other
                log.info("waiting for lease %s/%s, held by %s", self._namespace, self._name, holder)
            stopping.wait(PERIOD)
        return False

    def hold(self, stopping: Event) -> bool:
        """Renew until asked to stop; False as soon as the Lease is, or may be, somebody else's."""
        while not stopping.wait(PERIOD):
            if not self.renew() and (self._stolen() or self._clock() - self._renewed >= DEADLINE):
                return False
        return True

    def release(self) -> None:
        """Let the next operator begin at once."""
        if self._lease is None or self._stolen():
            return
        try:
            self._write(self._spec(holder="", duration=1))
        except KubeError as error:
            log.warning("lease not released: %s", error)

    def renew(self) -> bool:
        """One try to take or keep the Lease; any failure is a failed try."""
        begun = self._clock()
        try:
            if self._lease is None or self._stolen():
                self._read()
            if self._stolen() and self._holder() and begun < self._changed + self._duration():
                return False
            self._write(self._spec(self._identity, int(DURATION)))
        except KubeError as error:
            log.warning("lease not renewed: %s", error)
            if error.status in (404, 409):
                self._lease = None  # read it again next time
            return False
        self._renewed = begun  # not later: the server may have counted from there
        return True

    def _read(self) -> None:
        try:
            lease = self._kube.get(LEASES, self._namespace, self._name)
        except KubeError as error:
            if error.status != 404:
                raise
            self._lease = None
            return
        if self._lease is None or lease["metadata"]["resourceVersion"] != self._version():
            self._changed = self._clock()
        self._lease = lease

    def _write(self, spec: dict[str, Any]) -> None:
        metadata: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        if self._lease is None:
            self._lease = self._kube.create(LEASES, self._namespace, body)
            return
        metadata["resourceVersion"] = self._version()  # 409 when somebody else was first
        self._lease = self._kube.replace(LEASES, self._namespace, body)

    def _spec(self, holder: str, duration: int) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        before = self._lease["spec"] if self._lease else {}
        kept = before.get("holderIdentity") == self._identity
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": duration,
            "acquireTime": before.get("acquireTime", now) if kept else now,
            "renewTime": now,
            "leaseTransitions": before.get("leaseTransitions", 0) + (not kept),
        }

    def _holder(self) -> str:
        return str((self._lease or {}).get("spec", {}).get("holderIdentity") or "")

    def _stolen(self) -> bool:
        return self._lease is not None and self._holder() != self._identity

    def _duration(self) -> float:
        assert self._lease is not None
        return float(self._lease["spec"].get("leaseDurationSeconds") or DURATION)

    def _version(self) -> str:
        assert self._lease is not None
        return str(self._lease["metadata"]["resourceVersion"])
