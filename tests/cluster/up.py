"""An interactive cluster: `python -m tests.cluster.up` prints its KUBECONFIG and serves until Ctrl-C."""

import contextlib
import json
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import build
from .api import Api, ApiError
from .node import Node
from .plane import LIFTED, Plane
from .processes import Processes

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass(frozen=True)
class Cluster:
    """A control plane, its first node, and the admin's ways in."""

    plane: Plane
    node: Node
    api: Api
    processes: Processes

    def kubectl(self, *words: str, stdin: str | Mapping[str, Any] | None = None) -> str:
        """Run kubectl as the admin; its output. Raises AssertionError with what it says when it fails."""
        command = [str(self.plane.bin / "kubectl"), f"--kubeconfig={self.plane.kubeconfig}", *words]
        given = json.dumps(stdin) if isinstance(stdin, Mapping) else stdin
        done = subprocess.run(command, input=given, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def another_node(self, name: str = "node-b") -> Iterator[Node]:
        """A second node, for as long as the block runs: Kubernetes evicts nothing when no node is healthy."""
        node = Node(self.node.api, self.node.folder, self.processes, name)
        with node.running():
            yield node
        self.api.delete(node.path)

    @contextlib.contextmanager
    def namespace(self) -> Iterator[str]:
        """A fresh namespace under the restricted Pod Security Standard; deleted afterwards."""
        name = f"t-{uuid.uuid4().hex[:8]}"
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
        self.api.create("/api/v1/namespaces", document)
        for _ in range(600):  # pods may be created once its default ServiceAccount is there
            if self.api.find(f"/api/v1/namespaces/{name}/serviceaccounts/default"):
                break
            threading.Event().wait(0.05)
        try:
            yield name
        finally:
            with contextlib.suppress(ApiError):
                self.api.delete(f"/api/v1/namespaces/{name}")


@contextlib.contextmanager
def cluster(controllers: Sequence[str] = LIFTED) -> Iterator[Cluster]:
    """A control plane and one process node, in a temporary folder, gone afterwards."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="hs-"))  # short: a Unix socket's path has at most 107 bytes
        processes = stack.enter_context(contextlib.closing(Processes(folder)))
        plane = stack.enter_context(Plane(folder, processes, controllers).running())
        admin, kubelet = plane.api(), plane.api("process-node")
        stack.callback(admin.close)
        stack.callback(kubelet.close)
        node = stack.enter_context(Node(kubelet, folder / "pods", processes).running())
        yield Cluster(plane, node, admin, processes)


if __name__ == "__main__":
    with cluster() as up:
        tools = f"{up.plane.bin}:{build.ensure('helm')}"
        print(f"export KUBECONFIG={up.plane.kubeconfig} PATH={tools}:$PATH", flush=True)
        print(f"# logs of the plane in {up.plane.folder}, of the pods in {up.node.folder}", flush=True)
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        ended.wait()
