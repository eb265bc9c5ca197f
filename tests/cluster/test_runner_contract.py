"""The runner on Kubernetes does what every runner must do."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from hypersweep.cluster import ClusterRunner, Place
from hypersweep.kube import Kube, connect
from hypersweep.runner import Key, Live
from hypersweep.store import Store, open_store
from hypersweep.watch import Watch
from hypersweep.witness import Pools, Witness
from tests import runner_contract

from .sweep import Applied
from .up import Cluster

PATIENCE = 60.0  # seconds: only a failing test waits that long


@dataclass
class ClusterBench:
    runner: ClusterRunner
    store: Store
    woken: threading.Event

    def wait(self, key: Key, until: Callable[[Live], bool]) -> Live:
        deadline = time.monotonic() + PATIENCE
        while not until(live := self.runner.observe([key])[key]):
            assert time.monotonic() < deadline, live
            self.woken.wait(1.0)
            self.woken.clear()
        return live


@pytest.fixture
def bench(
    cluster: Cluster, crd: None, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ClusterBench]:
    """A runner of a sweep that no operator looks at."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.plane.kubeconfig))
    sweep = Applied.apply(cluster, namespace, runner_contract.manifest())
    api = connect()
    kube = Kube(api)
    woken, stopping = threading.Event(), threading.Event()
    watch = Watch(kube, namespace, lambda job: woken.set(), stopping)
    threading.Thread(target=watch.run, daemon=True).start()
    assert watch.synced.wait(PATIENCE)
    store = open_store(str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        witness = Witness(kube, namespace, store, Pools(pool, pool), woken.set)
        runner = ClusterRunner(kube, watch.jobs, witness, namespace, sweep.name, sweep.uid, Place("python"))
        runner.spec = runner_contract.spec()
        yield ClusterBench(runner, store, woken)
    stopping.set()
    sweep.delete()  # and with it what the watch waits for
    api.close()


@pytest.mark.parametrize("check", runner_contract.CHECKS)
def test_a_cluster_runner_keeps_the_contract(
    check: Callable[[runner_contract.Bench], None], bench: ClusterBench
) -> None:
    check(bench)
