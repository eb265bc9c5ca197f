"""One pod of the process node: each container a local process, from its start to its last status."""

import base64
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import container as containers
from .api import Object
from .processes import send

if TYPE_CHECKING:
    from .node import Node

MESSAGE_PATH = "/dev/termination-log"
MESSAGE_LIMIT = 4096
RETRY = 1.0  # seconds between two tries to make a container that waits for something
NOT_FOUND = 128  # what a kubelet reports for a command that does not exist


class Pod:
    """Runs on a thread of its own; the node tells it to stop, kills it, and reports what it says."""

    def __init__(self, node: "Node", manifest: Object) -> None:
        self.manifest = manifest
        self.uid: str = manifest["metadata"]["uid"]
        self.name: str = manifest["metadata"]["name"]
        self.namespace: str = manifest["metadata"]["namespace"]
        self.path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        self.folder: Path = node.folder / f"{self.name}-{self.uid[:6]}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._node = node
        self._lock = threading.Lock()  # a process is started either before a stop or never
        self._stopping = threading.Event()
        self._kill_reason = ""
        self._states: dict[str, Object] = {}
        self._started: str | None = None
        self.thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def stop(self, grace: float) -> None:
        """SIGTERM now, SIGKILL after the grace; may be called again with less grace."""
        with self._lock:
            self._stopping.set()
        if not grace:
            return self.kill()
        for process in self.processes.values():
            process.terminate()  # a container's first process alone is told
        if self.processes:
            timer = threading.Timer(grace, self.kill)
            timer.daemon = True
            timer.start()

    def kill(self, reason: str = "Error") -> None:
        """SIGKILL, as the kernel or an operator of the machine would do it."""
        self._kill_reason = reason
        for process in self.processes.values():
            send(process, signal.SIGKILL)

    def log(self, container: str | None = None) -> str:
        """What a container has written so far."""
        name = container or self.manifest["spec"]["containers"][0]["name"]
        file = self.folder / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _run(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        spec = self.manifest["spec"]
        ok = all(self._run_all([one]) for one in spec.get("initContainers", ()))
        ok = ok and self._run_all(spec["containers"])
        self._report("Succeeded" if ok else "Failed")
        self._stopping.wait()  # the object stays until somebody deletes it
        self._node.remove(self)

    def _run_all(self, group: list[Object]) -> bool:
        """Start some containers together; true when all of them ended with 0."""
        for container in group:
            self._start(container)
        if any(one["name"] in self.processes for one in group):
            self._report("Running" if group[0] in self.manifest["spec"]["containers"] else "Pending")
        for container in group:
            self._end(container)
        return all(self._states[one["name"]]["terminated"]["exitCode"] == 0 for one in group)

    def _start(self, container: Object) -> None:
        """Start one container, however long what it needs is missing."""
        name = container["name"]
        while not self._stopping.is_set():
            try:
                self._node.pull(container["image"])
                argv, variables = self._prepare(container)
                with self._lock:
                    if not self._stopping.is_set():
                        self._spawn(name, argv, variables)
                return
            except containers.ConfigError as error:
                self._wait(name, "CreateContainerConfigError", str(error))
            except LookupError as error:
                self._wait(name, "ErrImagePull", str(error))
            except OSError as error:
                self._states[name] = _terminated(NOT_FOUND, "StartError", str(error), now())
                return

    def _prepare(self, container: Object) -> tuple[list[str], dict[str, str]]:
        home = self.folder / container["name"]
        home.mkdir(exist_ok=True)
        base = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "HOSTNAME": self.manifest["spec"].get("hostname", self.name),
            "HYPERSWEEP_TERMINATION_LOG": MESSAGE_PATH,
        }
        variables = containers.environment(container, self._seen(), self._lookup, base)
        argv = containers.command_line(container, self._node.images.get(container["image"], []), variables)
        if not argv:
            raise OSError(f"no command, and the node knows no entrypoint of image {container['image']}")
        translate = containers.translator(
            self.manifest,
            self._has_service(),
            str(self._message_file(container["name"])),
            container.get("terminationMessagePath", MESSAGE_PATH),
        )
        variables = {name: translate(value) for name, value in variables.items()}
        return [translate(word) for word in argv], variables

    def _spawn(self, name: str, argv: list[str], variables: Mapping[str, str]) -> None:
        interpreters = {"python": sys.executable, "python3": sys.executable}
        self.processes[name] = self._node.processes.start(
            [interpreters.get(argv[0], argv[0]), *argv[1:]],
            log=self.folder / f"{name}.log",
            env=variables,
            cwd=self.folder / name,
        )
        self._states[name] = {"running": {"startedAt": now()}}

    def _end(self, container: Object) -> None:
        """Wait for one container and note how it ended."""
        name = container["name"]
        process = self.processes.get(name)
        if process is None:  # never started: the command is unknown, or the pod was deleted before
            self._states.setdefault(name, {})
            if "terminated" not in self._states[name]:
                self._states[name] = _terminated(137, "ContainerStatusUnknown", "never started", now())
            return
        code = self._node.processes.reap(process)
        code = 128 - code if code < 0 else code
        reason = "Completed" if code == 0 else self._kill_reason or "Error"
        began = self._states[name]["running"]["startedAt"]
        self._states[name] = _terminated(code, reason, self._message(container, code), began)

    def _message(self, container: Object, code: int) -> str:
        file = self._message_file(container["name"])
        text = file.read_bytes()[:MESSAGE_LIMIT].decode(errors="replace") if file.exists() else ""
        if text or code == 0 or container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return text
        return self.log(container["name"])[-2048:]

    def _message_file(self, name: str) -> Path:
        return self.folder / f"{name}.message"

    def _wait(self, name: str, reason: str, message: str) -> None:
        state = {"waiting": {"reason": reason, "message": message}}
        if self._states.get(name) != state:
            self._states[name] = state
            self._report("Pending")
        self._stopping.wait(RETRY)

    def _lookup(self, kind: str, name: str) -> Mapping[str, str] | None:
        found = self._node.api.find(f"/api/v1/namespaces/{self.namespace}/{kind}/{name}")
        if found is None:
            return None
        data: dict[str, str] = found.get("data", {})
        if kind == "configmaps":
            return data
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def _has_service(self) -> bool:
        """Whether a headless Service of the pod's subdomain selects it, so that its name would resolve."""
        subdomain = self.manifest["spec"].get("subdomain")
        if not subdomain:
            return False
        found = self._node.api.find(f"/api/v1/namespaces/{self.namespace}/services/{subdomain}")
        if found is None or found["spec"].get("clusterIP") != "None":
            return False
        labels = self.manifest["metadata"].get("labels", {}).items()
        return bool(found["spec"].get("selector", {}).items() <= labels)

    def _seen(self) -> Object:
        """The pod as its own fieldRefs see it."""
        return {**self.manifest, "status": {"podIP": self._node.address(self.uid), "hostIP": self._node.host}}

    def _report(self, phase: str) -> None:
        """Write the status a kubelet would write for what is known by now."""
        self._started = self._started or now()
        ready = phase == "Running"
        conditions = {
            "PodReadyToStartContainers": phase in ("Running", "Pending"),
            "Initialized": phase != "Pending",
            "ContainersReady": ready,
            "Ready": ready,
        }
        spec = self.manifest["spec"]
        status: Object = {
            "phase": phase,
            "startTime": self._started,
            "hostIP": self._node.host,
            "podIP": self._node.address(self.uid),
            "podIPs": [{"ip": self._node.address(self.uid)}],
            "conditions": [
                {"type": name, "status": str(holds), "lastTransitionTime": now()}
                for name, holds in conditions.items()
            ],
            "containerStatuses": [self._container_status(one) for one in spec["containers"]],
            "initContainerStatuses": [self._container_status(one) for one in spec.get("initContainers", ())],
        }
        self._node.report(self, status)

    def _container_status(self, container: Object) -> Object:
        state = self._states.get(container["name"], {"waiting": {"reason": "PodInitializing"}})
        return {
            "name": container["name"],
            "image": container["image"],
            "imageID": container["image"],
            "restartCount": 0,
            "ready": "running" in state,
            "started": "running" in state,
            "state": state,
        }


def _terminated(code: int, reason: str, message: str, began: str) -> Object:
    terminated: dict[str, Any] = {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": now()}
    return {"terminated": terminated | ({"message": message} if message else {})}


def now() -> str:
    """The present as the API server writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
