"""The operator as a process, with the ServiceAccount and the roles that the chart gives it."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import urllib3
import yaml

from . import build
from .api import APPLY, Api
from .audit import operator_user
from .plane import Plane
from .processes import Processes, send
from .s3 import CREDENTIALS

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "hypersweep"
RELEASE = "hypersweep"
GRANTED = {  # what of the chart is applied: the rest is how it runs in a pod
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
}
LISTENING = re.compile(r"listening on port (\d+)")


def grant(api: Api, namespace: str) -> str:
    """Apply the chart's ServiceAccount and roles for one namespace; returns the account's name."""
    helm = build.ensure("helm") / "helm"
    values = f"--set=watchNamespaces={{{namespace}}}"
    command = [str(helm), "template", RELEASE, str(CHART), f"--namespace={namespace}", values]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    account = ""
    for document in yaml.safe_load_all(done.stdout):
        if document and document["kind"] in GRANTED:
            metadata = document["metadata"]
            folder = GRANTED[document["kind"]].format(namespace=metadata.get("namespace", namespace))
            api.patch(f"{folder}/{metadata['name']}", document, APPLY, fieldManager="tests", force="true")
            account = metadata["name"] if document["kind"] == "ServiceAccount" else account
    return account


def token(api: Api, namespace: str, account: str) -> str:
    """A token of a ServiceAccount, by the TokenRequest API."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    document = request | {"spec": {"expirationSeconds": 7200}}
    return str(api.create(path, document)["status"]["token"])


class Operator:
    """One operator of one namespace; can be killed and started again with the same identity."""

    def __init__(
        self,
        plane: Plane,
        processes: Processes,
        namespace: str,
        server: str | None = None,
        flags: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        admin = plane.api()
        account = grant(admin, namespace)
        self.user = operator_user(namespace, account)
        self.namespace = namespace
        self.folder = plane.folder / f"operator-{namespace}"
        self.folder.mkdir(exist_ok=True)
        self._processes = processes
        self._flags = list(flags)
        self._log = self.folder / "operator.log"
        self._kubeconfig = self.folder / "kubeconfig"
        identity = plane.api(token=token(admin, namespace, account))
        self._kubeconfig.write_text(json.dumps(identity.kubeconfig(server)))
        self._env = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "KUBECONFIG": str(self._kubeconfig),
            **CREDENTIALS,
            **(env or {}),
        }
        self._http = urllib3.PoolManager(retries=False, timeout=5)
        self._process: subprocess.Popen[bytes] | None = None
        self._offset = 0  # of the log, where the running process began

    def start(self, wait: bool = True) -> "Operator":
        """Start it; returns when it is ready."""
        assert self._process is None
        self._offset = self._log.stat().st_size if self._log.exists() else 0
        command = [
            *(sys.executable, "-m", "hypersweep.handlers"),
            *("--namespace", self.namespace, "--lease-namespace", self.namespace),
            *("--identity", "operator", "--port", "0"),
            *self._flags,
        ]
        self._process = self._processes.start(command, log=self._log, env=self._env, cwd=self.folder)
        if wait:
            self.await_ready()
        return self

    def kill(self) -> None:
        """kill -9."""
        if self._process:
            send(self._process, signal.SIGKILL)
            self._processes.reap(self._process)
            self._process = None

    def stop(self, seconds: float = 30) -> int:  # the grace of its pod
        """SIGTERM; its exit status."""
        assert self._process
        send(self._process, signal.SIGTERM)
        return self.await_exit(seconds)

    def await_exit(self, seconds: float = 30) -> int:
        """Its exit status, once it ended by itself."""
        assert self._process
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        process, self._process = self._process, None
        return self._processes.reap(process)

    def await_ready(self, seconds: float = 60) -> None:
        """Return when /readyz says so."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._process and self._process.poll() is not None:
                code, log = self._process.returncode, self.log()
                raise RuntimeError(f"the operator ended with {code}:\n{log[-4000:]}")
            if self.status("readyz") == 200:
                return
            threading.Event().wait(0.05)
        raise TimeoutError(f"the operator was not ready after {seconds} s:\n{self.log()[-4000:]}")

    def log(self) -> str:
        """All that it wrote, over all of its starts."""
        return self._log.read_text() if self._log.exists() else ""

    def metrics(self) -> str:
        """The text of /metrics."""
        return self._http.request("GET", f"{self._url()}/metrics").data.decode()

    def status(self, path: str) -> int:
        """The HTTP status of a probe; 0 when nothing answers."""
        try:
            return self._http.request("GET", f"{self._url()}/{path}").status
        except (urllib3.exceptions.HTTPError, LookupError):
            return 0

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def close(self) -> None:
        """End it, whatever state it is in."""
        self.kill()
        self._http.clear()

    def _url(self) -> str:
        with self._log.open() as file:
            file.seek(self._offset)
            found = LISTENING.search(file.read())
        if not found:
            raise LookupError("the operator does not listen yet")
        return f"http://127.0.0.1:{found[1]}"
