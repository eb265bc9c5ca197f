"""Events: what people see of a sweep in `kubectl describe`; losing one loses nothing."""

import logging
import secrets
from collections.abc import Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any

from hypersweep.contract import GROUP, KIND, MANAGER, VERSION
from hypersweep.kube import EVENTS, Kube, KubeError

TEXT = 1024  # characters that the API server takes

log = logging.getLogger(__name__)


class Recorder:
    """Posts Events in the background."""

    def __init__(self, kube: Kube, pool: Executor, host: str = "") -> None:
        self._kube = kube
        self._pool = pool
        self._host = host

    def record(self, sweep: Mapping[str, Any], reason: str, message: str, *, warning: bool = False) -> None:
        """Tell of something that happened to a sweep, given by its metadata."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        namespace = str(sweep["namespace"])
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{sweep['name']}.{secrets.token_hex(8)}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "name": sweep["name"],
                "namespace": namespace,
                "uid": sweep["uid"],
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message if len(message) <= TEXT else f"{message[: TEXT - 1]}…",
            "source": {"component": MANAGER, "host": self._host},
            "reportingComponent": MANAGER,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._pool.submit(self._post, namespace, event)

    def _post(self, namespace: str, event: Mapping[str, Any]) -> None:
        try:
            self._kube.create(EVENTS, namespace, event)
        except KubeError as error:
            log.warning("event not posted: %s", error)
