"""Opens a sweep: its store, journal and runner, from the operator's configuration and the manifest."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from kubernetes.client import ApiClient, CoreV1Api

from hypersweep import evidence
from hypersweep.api import SweepSpec
from hypersweep.breaker import Breaker, GuardedStore
from hypersweep.cache import Jobs
from hypersweep.cluster import ClusterRunner, Place
from hypersweep.configmap import ConfigMapJournal
from hypersweep.contract import sweep_prefix
from hypersweep.job import owner_reference
from hypersweep.kube import SWEEPS, Kube, KubeError
from hypersweep.model import NoModel
from hypersweep.reconcile import Sweep
from hypersweep.settings import Settings, StoreNotAllowed
from hypersweep.store import Journal, Store, StoreJournal, open_store, sub
from hypersweep.witness import Pools, Witness


@dataclass(frozen=True)
class Opened:
    """Everything of one sweep that lives from pass to pass."""

    sweep: Sweep
    runner: ClusterRunner
    witness: Witness
    place: Place
    durable: bool


class Opening:
    """What all sweeps of an operator share."""

    def __init__(
        self, settings: Settings, kube: Kube, api: ApiClient, pools: Pools, executor: Executor
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._maps: Any = CoreV1Api(api)
        self._pools = pools
        self._executor = executor
        self._breaker = Breaker()  # one endpoint, one breaker: a sweep never names another endpoint
        self._lock = Lock()
        self._stores: dict[str, Store] = {}

    @property
    def durable(self) -> bool:
        """Whether a sweep that names no store has one."""
        return bool(self._settings.store_url)

    def open(
        self,
        key: tuple[str, str],
        uid: str,
        spec: SweepSpec,
        reported: Mapping[str, Any],
        jobs: Jobs,
        wake: Callable[[], None],
        confirm: Callable[[], bool],
    ) -> Opened:
        """Raises StoreNotAllowed and StoreRefused; reads and writes nothing yet.

        `reported` is the sweep's status: what has begun in one place is not begun anew in another.
        """
        namespace, name = key
        place = self._settings.place(spec, namespace)
        began, before = "startedAt" in reported, reported.get("store")
        if began and before is None:
            place = replace(place, store_url=None, secret=None)
        store: Store | None = None
        if place.store_url is not None:
            store = sub(self._store(place.store_url), sweep_prefix(namespace, name, uid))
            place = replace(place, store_url=store.url)
        if began and before != place.store_url:
            must = f"the sweep began in {before}, which must stay its store until it has ended"
            raise StoreNotAllowed(f"{must}, but got {place.store_url}")
        witness = Witness(self._kube, namespace, store, self._pools, wake)
        runner = ClusterRunner(self._kube, jobs, witness, namespace, name, uid, place)
        owner = owner_reference(name, uid)
        journal: Journal = (
            ConfigMapJournal(self._maps, namespace, f"{name}-journal", owner)
            if store is None
            else StoreJournal(store)
        )
        sweep = Sweep(
            uid,
            journal,
            runner,
            self._executor,
            confirm,
            store,
            find=lambda other: self._best_model(namespace, other),
        )
        return Opened(sweep, runner, witness, place, store is not None)

    def _best_model(self, namespace: str, name: str) -> str:
        """The URL of another sweep's best model. Raises NoModel, KubeError and StoreError."""
        sweep = f"sweep {name}"
        try:
            document = self._kube.get(SWEEPS, namespace, name)
        except KubeError as error:
            if error.status != 404:
                raise
            raise NoModel(sweep, "NotFound", f"must be in namespace {namespace}, but is not") from error
        told = document.get("status") or {}
        if (phase := told.get("phase") or "Pending") != "Succeeded":
            raise NoModel(sweep, "NotSucceeded", f"must have succeeded, but is {phase}")
        own = sweep_prefix(namespace, name, document["metadata"]["uid"])
        url = told.get("store") or ""
        if not url.endswith(f"/{own}"):
            raise NoModel(sweep, "NoStore", "must have a store that keeps its models, but has none")
        found = evidence.best_model(sub(self._store(url.removesuffix(f"/{own}")), own))
        if found is None:
            raise NoModel(sweep, "NoBest", "must have left a best model, but has none")
        return found

    def _store(self, url: str) -> Store:
        with self._lock:
            if url not in self._stores:
                settings = self._settings
                endpoint, region = settings.store_endpoint or None, settings.store_region or None
                opened = open_store(url, endpoint=endpoint, region=region)
                self._stores[url] = GuardedStore(opened, self._breaker)
            return self._stores[url]
