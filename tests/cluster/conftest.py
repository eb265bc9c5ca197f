"""Fixtures of the tests that run on a real control plane."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from . import s3 as s3_server
from .audit import Recorder
from .operator_process import ROOT, Operator
from .proxy import Proxy
from .sweep import await_that
from .up import Cluster
from .up import cluster as running_cluster

CRD = ROOT / "crds" / "hypersweep.yaml"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A control plane and a process node with eight pretended GPUs, for all tests."""
    with running_cluster() as up:
        yield up


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace under the restricted Pod Security Standard."""
    with cluster.namespace() as name:
        yield name


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster) -> Callable[..., str]:
    """kubectl as the admin: `kubectl("apply", "-f", "-", stdin=document)`."""
    return cluster.kubectl


@pytest.fixture(scope="session")
def crd(cluster: Cluster) -> None:
    """The generated CustomResourceDefinition, established."""
    cluster.kubectl("apply", "--server-side", "-f", str(CRD))
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/hypersweeps.hypersweep.io"

    def established() -> bool:  # `kubectl wait` fails where there is no condition at all yet
        conditions = cluster.api.get(path).get("status", {}).get("conditions") or ()
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    await_that(established, "the definition is established", 30)


@pytest.fixture(scope="session")
def s3_endpoint(cluster: Cluster) -> Iterator[str]:
    """The endpoint of an S3 server."""
    with s3_server.server(cluster.plane.folder, cluster.processes) as endpoint:
        yield endpoint


@pytest.fixture
def s3(cluster: Cluster, namespace: str, s3_endpoint: str) -> s3_server.Bucket:
    """An empty bucket, and the Secret of its credentials in the namespace."""
    bucket = s3_server.Bucket(s3_endpoint, namespace)
    bucket.client().create_bucket(Bucket=bucket.name)
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": bucket.secret}}
    cluster.api.create(
        f"/api/v1/namespaces/{namespace}/secrets", secret | {"stringData": s3_server.CREDENTIALS}
    )
    return bucket


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """A proxy before the API server, for the operator alone: `operator(server=proxy.url)`."""
    with Proxy(cluster.plane.server, cluster.api.authority) as running:
        yield running


@pytest.fixture
def recorder(cluster: Cluster, namespace: str) -> Iterator[Recorder]:
    """Remembers every Job and pod of the namespace."""
    with Recorder(cluster.api, namespace).running() as recording:
        yield recording


@pytest.fixture
def operator(cluster: Cluster, crd: None, namespace: str) -> Iterator[Callable[..., Operator]]:
    """Makes operators of the namespace: `operator(flags=[…], server=proxy.url).start()`."""
    with ExitStack() as stack:

        def make(**options: Any) -> Operator:
            made = Operator(cluster.plane, cluster.processes, namespace, **options)
            stack.callback(made.close)
            return made

        yield make
