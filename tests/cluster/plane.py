"""A real Kubernetes control plane on free loopback ports, in a folder of its own."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import urllib3

from . import build, pki
from .api import Api, ApiError
from .processes import Processes

# The controller-manager's default of 20 requests/s lets three Jobs a second through.
LIFTED = ("--kube-api-qps=2000", "--kube-api-burst=4000")
USERS = {  # name: group
    "admin": "system:masters",
    "process-node": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
}
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata"}],
}


class Plane:
    """etcd, API server, controller-manager and scheduler; the admin's kubeconfig lies at `kubeconfig`."""

    def __init__(self, folder: Path, processes: Processes, controllers: Sequence[str] = LIFTED) -> None:
        self.folder, self.controllers = folder, controllers
        self.bin = build.ensure(*build.PLANE)
        self.kubeconfig = folder / "admin.kubeconfig"
        self.audit_log = folder / "audit.jsonl"
        self._processes = processes
        self._ports = _free_ports(3)

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self._ports[0]}"

    def api(self, user: str = "admin", token: str | None = None) -> Api:
        """A client with a static user's identity, or with that of the bearer of a token."""
        return Api(self.server, token or f"{user}-token", self.folder / "pki" / "ca.crt")

    @contextlib.contextmanager
    def running(self) -> Iterator["Plane"]:
        """Start everything, wait until it serves; end all of it afterwards."""
        self._write_files()
        with contextlib.ExitStack() as stack:
            self._start(stack, "etcd", *self._etcd())
            self._start(stack, "kube-apiserver", *self._apiserver())
            self._await_ready()
            self._start(stack, "kube-controller-manager", *self._controller_manager())
            self._start(stack, "kube-scheduler", *self._scheduler())
            yield self

    def _write_files(self) -> None:
        pki.write(self.folder / "pki")
        tokens = "".join(f'{name}-token,{name},{name},"{group}"\n' for name, group in USERS.items())
        (self.folder / "tokens.csv").write_text(tokens)
        (self.folder / "audit-policy.yaml").write_text(json.dumps(AUDIT_POLICY))
        self.kubeconfig.write_text(json.dumps(self.api().kubeconfig()))
        for user in ("kube-controller-manager", "kube-scheduler"):
            document = self.api(f"system:{user}").kubeconfig()
            (self.folder / f"{user}.kubeconfig").write_text(json.dumps(document))

    def _start(self, stack: contextlib.ExitStack, name: str, *flags: str) -> None:
        process = self._processes.start([str(self.bin / name), *flags], log=self.folder / f"{name}.log")
        stack.callback(self._processes.end, process, grace=1)  # nothing here is worth waiting for

    def _etcd(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{port}" for port in self._ports[1:])
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=error",
        ]

    def _apiserver(self) -> list[str]:
        keys = self.folder / "pki"
        return [
            f"--etcd-servers=http://127.0.0.1:{self._ports[1]}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # a loopback address may not stand in an EndpointSlice
            f"--secure-port={self._ports[0]}",
            f"--tls-cert-file={keys / 'server.crt'}",
            f"--tls-private-key-file={keys / 'server.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={keys / 'sa.key'}",
            f"--service-account-key-file={keys / 'sa.pub'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--audit-policy-file={self.folder / 'audit-policy.yaml'}",
            f"--audit-log-path={self.audit_log}",
            "--default-not-ready-toleration-seconds=5",
            "--default-unreachable-toleration-seconds=5",
        ]

    def _controller_manager(self) -> list[str]:
        keys = self.folder / "pki"
        return [
            f"--kubeconfig={self.folder / 'kube-controller-manager.kubeconfig'}",
            f"--service-account-private-key-file={keys / 'sa.key'}",
            f"--root-ca-file={keys / 'ca.crt'}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--secure-port=0",
            "--node-monitor-period=1s",
            *self.controllers,
        ]

    def _scheduler(self) -> list[str]:
        return [
            f"--kubeconfig={self.folder / 'kube-scheduler.kubeconfig'}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
        ]

    def _await_ready(self, seconds: float = 60) -> None:
        api, until = self.api(), time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(ApiError, urllib3.exceptions.HTTPError):
                api.get("/readyz")
                return
            threading.Event().wait(0.05)
        tail = (self.folder / "kube-apiserver.log").read_text()[-2000:]
        raise RuntimeError(f"the API server was not ready after {seconds} s:\n{tail}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
