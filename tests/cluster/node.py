"""The process node: registers itself, keeps its Lease, and runs the pods bound to it as local processes."""

import contextlib
import threading
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import urllib3

from .api import STRATEGIC, Api, ApiError, Object
from .pod import Pod, now
from .processes import Processes

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
HEARTBEAT = 10.0  # seconds, as a kubelet's; the node counts as lost after 50 without one
CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti", "nvidia.com/gpu": "8"}


class Node:
    """A node whose containers are processes of this machine; Kubernetes' own parts cannot tell."""

    host = "10.88.0.1"

    def __init__(
        self,
        api: Api,
        folder: Path,
        processes: Processes,
        name: str = "node-a",
        capacity: Mapping[str, str] = CAPACITY,
        images: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.api, self.folder, self.processes, self.name = api, folder, processes, name
        self.images = dict(images or {})  # image: entrypoint, for containers without a command
        self.path = f"/api/v1/nodes/{name}"
        self._capacity = dict(capacity)
        self._pods: dict[str, Pod] = {}
        self._closing = threading.Event()
        self._online = threading.Event()
        self._online.set()

    @contextlib.contextmanager
    def running(self) -> Iterator["Node"]:
        """Register, serve until the end, then kill what still runs."""
        self._register()
        threads = [
            threading.Thread(target=work, name=f"{self.name}-{work.__name__}", daemon=True)
            for work in (self._follow, self._beat)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._closing.set()
            self._online.set()
            for pod in self.pods():
                pod.stop(grace=0)
            for pod in self.pods():
                pod.thread.join(2)

    def pods(self, namespace: str | None = None) -> list[Pod]:
        """The pods that are bound to the node, by name."""
        found = [pod for pod in self._pods.values() if namespace in (None, pod.namespace)]
        return sorted(found, key=lambda pod: pod.name)

    def pod(self, namespace: str, name: str) -> Pod:
        """The newest pod whose name is, or begins with, the given one."""
        found = [pod for pod in self.pods(namespace) if pod.name == name or pod.name.startswith(f"{name}-")]
        if not found:
            raise LookupError(f"{namespace}/{name} is not on {self.name}")
        return max(found, key=lambda pod: str(pod.manifest["metadata"]["creationTimestamp"]))

    def kill(self, namespace: str, name: str, reason: str = "Error") -> None:
        """SIGKILL a pod's processes; the reason is what the node makes of it (OOMKilled, say)."""
        self.pod(namespace, name).kill(reason)

    def evict(self, namespace: str, name: str) -> None:
        """Ask the API server to evict a pod, as a drain does: DisruptionTarget, then deletion."""
        pod = self.pod(namespace, name)
        metadata = {"name": pod.name, "namespace": namespace}
        document = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        self.api.create(f"{pod.path}/eviction", document)

    def lose(self) -> None:
        """Fail as a machine does: processes die, nothing is reported; seen at once instead of after 50 s."""
        self._online.clear()
        for pod in self.pods():
            pod.kill()
        self._set_ready("Unknown", "NodeStatusUnknown")

    def recover(self) -> None:
        """Come back: what was lost is reported now."""
        self._online.set()
        self._renew()
        self._set_ready("True", "KubeletReady")

    def bury(self, namespace: str, name: str) -> None:
        """What the pod garbage collector does, a minute later, with a pod of a node that is gone."""
        pod = self.pod(namespace, name)
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}
        status = {"phase": "Failed", "conditions": [condition | {"lastTransitionTime": now()}]}
        self._patch(pod, status)
        self._delete(pod)

    def pull(self, image: str) -> None:
        """Pretend to pull; raises LookupError for an image that no registry has."""
        if image.startswith("missing/"):
            raise LookupError(f'failed to pull and unpack image "{image}": not found')

    def address(self, uid: str) -> str:
        """An address of the pod's own: a loopback one may not stand in an EndpointSlice."""
        number = zlib.crc32(uid.encode())
        return f"10.88.{1 + number % 250}.{1 + number // 250 % 250}"

    def report(self, pod: Pod, status: Object) -> None:
        """Write a pod's status, when the node is (again) there to write it."""
        while not self._closing.is_set():
            if self._online.wait(0.5):
                try:
                    return self._patch(pod, status)
                except (urllib3.exceptions.HTTPError, OSError):
                    self._closing.wait(0.5)

    def remove(self, pod: Pod) -> None:
        """The last act for a deleted pod: take its object away."""
        while not self._closing.is_set():
            if self._online.wait(0.5):
                try:
                    self._delete(pod)
                    self._pods.pop(pod.uid, None)
                    return
                except (urllib3.exceptions.HTTPError, OSError):
                    self._closing.wait(0.5)

    def _follow(self) -> None:
        bound = {"fieldSelector": f"spec.nodeName={self.name}"}
        for event, seen in self.api.watch("/api/v1/pods", self._closing, **bound):
            while not self._online.wait(0.5):
                if self._closing.is_set():
                    return
            if event == "LIST":
                there = {pod["metadata"]["uid"] for pod in seen["items"]}
                for pod in [pod for uid, pod in self._pods.items() if uid not in there]:
                    pod.stop(grace=0)
                for pod in seen["items"]:
                    self._sync(pod)
            elif event == "DELETED":
                self._gone(seen["metadata"]["uid"])
            else:
                self._sync(seen)

    def _sync(self, seen: Object) -> None:
        metadata = seen["metadata"]
        known = self._pods.get(metadata["uid"])
        if known is None and seen["status"].get("phase") in ("Succeeded", "Failed"):
            return
        if known is None:
            known = self._pods[metadata["uid"]] = Pod(self, seen)
            known.thread.start()
        if "deletionTimestamp" in metadata:
            known.stop(metadata.get("deletionGracePeriodSeconds", 0))

    def _gone(self, uid: str) -> None:
        if known := self._pods.get(uid):
            known.stop(grace=0)

    def _patch(self, pod: Pod, status: Object) -> None:
        body = {"metadata": {"uid": pod.uid}, "status": status}
        with contextlib.suppress(ApiError):  # gone, or another pod of the same name
            self.api.patch(f"{pod.path}/status", body, STRATEGIC)

    def _delete(self, pod: Pod) -> None:
        with contextlib.suppress(ApiError):
            self.api.delete(pod.path, grace=0, uid=pod.uid)

    def _register(self) -> None:
        self.api.create(
            "/api/v1/nodes",
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": self.name,
                    "labels": {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"},
                },
            },
        )
        self._renew()
        self._set_ready("True", "KubeletReady")

    def _set_ready(self, status: str, reason: str) -> None:
        times = {"lastHeartbeatTime": now(), "lastTransitionTime": now()}
        healthy = "Unknown" if status == "Unknown" else "False"
        pressures = ("MemoryPressure", "DiskPressure", "PIDPressure")
        states = {"Ready": status} | dict.fromkeys(pressures, healthy)
        conditions = [
            {"type": kind, "status": value, "reason": reason, **times} for kind, value in states.items()
        ]
        body: Object = {"conditions": conditions, "capacity": self._capacity, "allocatable": self._capacity}
        body["addresses"] = [{"type": "InternalIP", "address": self.host}]
        self.api.patch(f"{self.path}/status", {"status": body}, STRATEGIC)

    def _beat(self) -> None:
        while not self._closing.wait(HEARTBEAT):
            if self._online.is_set():
                with contextlib.suppress(ApiError, urllib3.exceptions.HTTPError, OSError):
                    self._renew()

    def _renew(self) -> None:
        at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": at}
        try:
            self.api.patch(f"{LEASES}/{self.name}", {"spec": spec})
        except ApiError as error:
            if error.status != 404:
                raise
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.name}}
            self.api.create(LEASES, lease | {"spec": spec})
