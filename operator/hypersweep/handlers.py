"""The operator: Kopf tells of HyperSweeps, a watch of Jobs, and a pool of workers takes the passes."""

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from prometheus_client.registry import CollectorRegistry

from hypersweep.cache import Jobs
from hypersweep.controller import Controller
from hypersweep.health import Server
from hypersweep.kube import SWEEPS, Kube, KubeError, connect
from hypersweep.lease import TIMEOUT, Lease
from hypersweep.listener import LAG, Listener
from hypersweep.metrics import Registry
from hypersweep.opening import Opening
from hypersweep.parts import Parts
from hypersweep.recorder import Recorder
from hypersweep.settings import Settings
from hypersweep.tracked import Key
from hypersweep.watch import Watch
from hypersweep.witness import Pools
from hypersweep.workqueue import WorkQueue

ACTORS = 8  # threads that act for passes and read pods
READERS = 8  # threads that read stores
RESYNC = 600.0  # seconds between two looks for deletions that nobody told of
INSTALLING = 15  # seconds that the CustomResourceDefinition may come later than the operator
LEAVE = 8.0  # seconds that passes have to end at SIGTERM
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

log = logging.getLogger(__name__)


class Operator:
    """Everything that lives in the process; when one part of it dies, all of it ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._leading = threading.Event()
        self._parts = Parts(self._stopping)
        self._workers = [f"worker {number}" for number in range(settings.workers)]
        self._queue: WorkQueue[Key] = WorkQueue()
        self._registry = Registry(version("hypersweep"))
        api = connect(settings.workers + ACTORS + 4)
        self._kube = Kube(api, self._registry.request)
        lease_kube = Kube(api, self._registry.request, TIMEOUT)
        self._lease = Lease(lease_kube, settings.lease_namespace, settings.lease_name, settings.identity)
        actors = ThreadPoolExecutor(ACTORS, "act")
        pools = Pools(actors, ThreadPoolExecutor(READERS, "store"))
        self._controller = Controller(
            self._kube,
            self._jobs,
            Opening(settings, self._kube, api, pools, actors),
            self._queue,
            self._registry,
            Recorder(self._kube, actors, settings.identity),
        )
        self._listener = Listener(settings.namespaces, self._controller.seen)
        self._watches = {
            namespace: Watch(self._kube, namespace, self._controller.changed, self._stopping)
            for namespace in (settings.namespaces or (None,))
        }
        self._expose()

    def run(self) -> int:
        """Lead until asked to stop; the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        collectors = CollectorRegistry()
        collectors.register(self._registry)
        checks = {"/healthz": self._unhealthy, "/readyz": self._unready}
        log.info("listening on port %d", Server(self._settings.port, collectors, checks).port)
        if wrong := self._missing():
            log.critical(wrong)
            return 1
        if self._lease.acquire(self._stopping):
            log.info("leading as %s", self._settings.identity)
            self._leading.set()
            self._live()
            self._leave()
        return 1 if self._parts.failure else 0

    def _missing(self) -> str:
        """Why the operator cannot work here at all; what is installed at this moment is waited for."""
        wrong = ""
        for _ in range(INSTALLING):
            try:
                if self._kube.serves(SWEEPS):
                    self._kube.list(SWEEPS, next(iter(self._watches)), limit=1)
                    return ""
                wrong = "HyperSweeps are not served: is the CustomResourceDefinition installed?"
            except KubeError as error:
                wrong = f"HyperSweeps cannot be listed: {error}"
            if self._stopping.wait(1.0):
                return ""
        return wrong

    def _live(self) -> None:
        self._parts.start("lease", self._hold)
        for namespace, watch in self._watches.items():
            self._parts.start(f"watch of {namespace or 'all'}", watch.run)
        # a pass that does not know what is alive would start it again
        while not all(watch.synced.wait(0.2) for watch in self._watches.values()):
            if self._stopping.is_set():
                return
        self._parts.start("kopf", self._listener.run)
        for worker in self._workers:
            self._parts.start(worker, self._work)
        while not self._stopping.wait(RESYNC):
            self._resync()

    def _leave(self) -> None:
        """End the passes, then give the Lease back: the next operator begins only then."""
        self._queue.close()
        self._listener.stop()
        if late := self._parts.join(["lease", *self._workers], LEAVE):
            log.warning("%s did not end in %.0f s: the lease expires by itself", ", ".join(late), LEAVE)
        else:
            self._lease.release()
        log.info("stopped")

    # -- the bodies of threads

    def _hold(self) -> None:
        if not self._lease.hold(self._stopping):
            log.critical("the lease is lost")
            logging.shutdown()
            os._exit(1)  # at once: another operator may be acting already

    def _work(self) -> None:
        while (key := self._queue.get()) is not None:
            try:
                self._controller.run(key)
            finally:
                self._queue.done(key)

    def _resync(self) -> None:
        before = self._controller.uids
        try:
            found = [sweep for each in self._watches for sweep in self._kube.list(SWEEPS, each)["items"]]
        except KubeError as error:
            log.warning("deletions not looked for: %s", error)
            return
        for sweep in found:
            self._controller.seen(sweep)
        listed = {sweep["metadata"]["uid"] for sweep in found}
        self._controller.retain(listed | (self._controller.uids - before))

    def _jobs(self, namespace: str) -> Jobs:
        return (self._watches.get(namespace) or self._watches[None]).jobs

    # -- what others see

    def _unhealthy(self) -> list[str]:
        """Time spent waiting for a store, or for the Lease, is no fault."""
        wrong = [f"{name} has ended" for name in self._parts.dead]
        if self._leading.is_set():
            wrong += [
                f"watch of {n or 'all'} is stalled" for n, watch in self._watches.items() if watch.stalled
            ]
        return [*wrong, f"kopf did not answer in {LAG:.0f} s"] if self._listener.stuck else wrong

    def _unready(self) -> list[str]:
        unlisted = [name or "all" for name, watch in self._watches.items() if not watch.synced.is_set()]
        wrong = [] if self._leading.is_set() else ["waiting for the lease"]
        wrong += [f"Jobs of {name} are not listed yet" for name in unlisted]
        return wrong if self._listener.ready.is_set() else [*wrong, "kopf is not ready"]

    def _expose(self) -> None:
        queue, watches, registry = self._queue, self._watches, self._registry
        epoch = time.time() - time.monotonic()

        def each(read: Callable[[Watch], float]) -> dict[tuple[str, ...], float]:
            return {(namespace or "all",): read(watch) for namespace, watch in watches.items()}

        registry.gauge("hypersweep_workqueue_depth", lambda: {(): queue.depth})
        registry.gauge("hypersweep_workqueue_oldest_seconds", lambda: {(): queue.oldest})
        registry.gauge("hypersweep_workqueue_retries_total", lambda: {(): queue.retries})
        registry.gauge("hypersweep_watch_restarts_total", lambda: each(lambda watch: watch.restarts))
        registry.gauge(
            "hypersweep_watch_last_event_timestamp_seconds",
            lambda: each(lambda watch: epoch + watch.last_event),
        )
        registry.gauge("hypersweep_leader", lambda: {(): float(self._leading.is_set())})


def _namespace() -> str:
    """The pod's own namespace."""
    return POD_NAMESPACE.read_text().strip() if POD_NAMESPACE.exists() else "default"


def _identity() -> str:
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


@click.command(context_settings={"auto_envvar_prefix": "HYPERSWEEP_OPERATOR", "show_default": True})
@click.option("--namespace", "namespaces", multiple=True, envvar="HYPERSWEEP_OPERATOR_NAMESPACE")
@click.option("--trainer-image", default="", help="Image of trials that name none.")
@click.option("--store-url", default="", help="Store of sweeps that name none, as s3://bucket/prefix.")
@click.option("--store-endpoint", default="", help="S3 endpoint of all stores.")
@click.option("--store-region", default="")
@click.option("--store-secret", default="", help="Secret in a trial's namespace with its S3 credentials.")
@click.option("--allowed-prefix", "prefixes", multiple=True, envvar="HYPERSWEEP_OPERATOR_ALLOWED_PREFIX")
@click.option("--lease-namespace", default=_namespace, show_default="the pod's own")
@click.option("--lease-name", default="hypersweep-operator")
@click.option(
    "--identity", default=_identity, show_default="host name and chance", help="Who holds the lease."
)
@click.option("--port", default=8080, help="Of /metrics, /healthz, /readyz; 0: any that is free.")
@click.option("--workers", default=4, type=click.IntRange(min=1), help="Passes at a time.")
@click.option("--log-level", default="info")
def main(namespaces: tuple[str, ...], prefixes: tuple[str, ...], log_level: str, **options: Any) -> None:
    """Run sweeps on the Kubernetes cluster of this pod, or of KUBECONFIG."""
    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s %(message)s"
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # it warns that it leaves signals to us
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    code = Operator(Settings(namespaces=namespaces, allowed_prefixes=prefixes, **options)).run()
    logging.shutdown()
    os._exit(code)  # threads that wait for a store must not hold up the end


if __name__ == "__main__":
    main()
