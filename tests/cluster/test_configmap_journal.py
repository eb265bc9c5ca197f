"""The journal in a ConfigMap, on the real API server."""

from collections.abc import Iterator

import pytest
from kubernetes import client, config

from hypersweep.configmap import FOLD, FULL, ConfigMapJournal
from hypersweep.job import owner_reference
from tests.journal_contract import JournalContract, Opener
from tests.test_journal_backends import noise

from .up import Cluster


@pytest.fixture
def api(cluster: Cluster) -> Iterator[client.CoreV1Api]:
    configuration = client.Configuration()
    config.load_kube_config(str(cluster.plane.kubeconfig), client_configuration=configuration)
    with client.ApiClient(configuration) as connection:
        yield client.CoreV1Api(connection)


@pytest.fixture
def owner(cluster: Cluster, namespace: str) -> str:
    """The uid of an object that stands for the sweep, so that nothing is collected as an orphan."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "digits"}}
    return str(cluster.api.create(f"/api/v1/namespaces/{namespace}/configmaps", body)["metadata"]["uid"])


@pytest.fixture
def opener(api: client.CoreV1Api, namespace: str, owner: str) -> Opener:
    reference = owner_reference("digits", owner) | {"apiVersion": "v1", "kind": "ConfigMap"}
    return lambda: ConfigMapJournal(api, namespace, "digits-journal", reference)


class TestConfigMapJournal(JournalContract):
    def test_a_folded_journal_is_the_journal(self, opener: Opener) -> None:
        journal = opener()
        segments = [b"segment %d" % number for number in range(FOLD + 3)]
        for number, data in enumerate(segments):
            journal.append(number, data)

        assert opener().since(0) == segments

    def test_a_full_journal_still_takes_the_ends_of_what_runs(self, opener: Opener) -> None:
        journal = opener()
        journal.append(0, noise(FULL))
        assert journal.full
        journal.append(1, noise(80 * 1024))

        assert len(opener().since(0)) == 2

    def test_it_goes_with_its_owner(self, opener: Opener, cluster: Cluster, namespace: str) -> None:
        opener().append(0, b"one")
        maps = f"/api/v1/namespaces/{namespace}/configmaps"
        cluster.api.delete(f"{maps}/digits")
        cluster.kubectl("wait", "-n", namespace, "--for=delete", "--timeout=30s", "configmap/digits-journal")

        assert cluster.api.find(f"{maps}/digits-journal") is None
