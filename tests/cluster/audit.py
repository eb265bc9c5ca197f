"""What really happened, as the API server saw it: its audit log, and a recorder of Jobs and pods."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .api import Api, Object

MUTATING = frozenset({"create", "update", "patch", "delete", "deletecollection"})
SWEEP = "hypersweep.io/sweep"


@dataclass(frozen=True)
class Request:
    """One answered request."""

    user: str
    verb: str
    resource: str  # with its subresource: hypersweeps/status
    namespace: str
    name: str
    code: int
    received: str
    agent: str

    @property
    def took_effect(self) -> bool:
        return self.verb in MUTATING and self.code < 300


def operator_user(namespace: str, account: str) -> str:
    """How the API server calls a ServiceAccount."""
    return f"system:serviceaccount:{namespace}:{account}"


def requests(log: Path, user: str | None = None, namespace: str | None = None) -> list[Request]:
    """The requests of a user, in the order in which they were answered."""
    found = []
    for line in log.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):  # the last one may be in the middle of its writing
            request = _request(json.loads(line))
            if user in (None, request.user) and namespace in (None, request.namespace):
                found.append(request)
    return found


def mutations(log: Path, user: str | None = None, namespace: str | None = None) -> Counter[tuple[str, str]]:
    """How many mutating requests there were of each (verb, resource), refused ones included."""
    asked = requests(log, user, namespace)
    return Counter((one.verb, one.resource) for one in asked if one.verb in MUTATING)


def _request(event: Object) -> Request:
    about = event.get("objectRef", {})
    parts = (about.get("resource", ""), about.get("subresource", ""))
    return Request(
        user=event["user"].get("username", ""),
        verb=event["verb"],
        resource="/".join(part for part in parts if part),
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        received=event["requestReceivedTimestamp"],
        agent=event.get("userAgent", ""),
    )


class Recorder:
    """Follows the Jobs and pods of a namespace and remembers all that ever was."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._stop = threading.Event()
        self._synced = {"jobs": threading.Event(), "pods": threading.Event()}
        self._alive: dict[str, dict[str, Object]] = {"jobs": {}, "pods": {}}
        self._most: Counter[tuple[str, str]] = Counter()
        self.created: dict[str, list[str]] = {}  # Job name: uids, in the order of creation

    @contextmanager
    def running(self) -> Iterator["Recorder"]:
        """Record while the block runs."""
        paths = {
            "jobs": f"/apis/batch/v1/namespaces/{self._namespace}/jobs",
            "pods": f"/api/v1/namespaces/{self._namespace}/pods",
        }
        for found in paths.items():
            threading.Thread(target=self._follow, args=found, name=f"record-{found[0]}", daemon=True).start()
        try:
            for synced in self._synced.values():
                assert synced.wait(30)
            yield self
        finally:
            self._stop.set()

    def most_jobs(self, sweep: str) -> int:
        """How many Jobs of a sweep there were at most at one moment that were not finished."""
        return self._most["jobs", sweep]

    def most_pods(self, sweep: str) -> int:
        """How many of its pods there were at most at one moment that had not ended."""
        return self._most["pods", sweep]

    def _follow(self, kind: str, path: str) -> None:
        for event, seen in self._api.watch(path, self._stop):
            if event == "LIST":
                self._alive[kind] = {}
                for one in seen["items"]:
                    self._note(kind, "ADDED", one)
                self._synced[kind].set()
            else:
                self._note(kind, event, seen)

    def _note(self, kind: str, event: str, seen: Object) -> None:
        metadata, alive = seen["metadata"], self._alive[kind]
        if kind == "jobs" and metadata["uid"] not in self.created.setdefault(metadata["name"], []):
            self.created[metadata["name"]].append(metadata["uid"])
        if event == "DELETED" or _finished(seen):
            alive.pop(metadata["uid"], None)
            return
        alive[metadata["uid"]] = seen
        sweep = metadata.get("labels", {}).get(SWEEP, "")
        now = sum(one["metadata"].get("labels", {}).get(SWEEP, "") == sweep for one in alive.values())
        self._most[kind, sweep] = max(self._most[kind, sweep], now)


def _finished(seen: Object) -> bool:
    status = seen.get("status", {})
    ends = [one["type"] for one in status.get("conditions", ()) if one["status"] == "True"]
    return status.get("phase") in ("Succeeded", "Failed") or bool({"Complete", "Failed"} & set(ends))
