"""What the chart renders, shown to a real API server."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from .build import ensure

CHART = Path(__file__).parents[2] / "charts" / "hypersweep"
STORE = ("--set=store.url=s3://sweeps/all", "--set=store.secretName=s3-credentials")


def rendered(namespace: str, *settings: str) -> str:
    helm = str(ensure("helm") / "helm")
    command = [helm, "template", "demo", str(CHART), f"--namespace={namespace}", *settings]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("watched", ["null", "{default}"])
def test_the_api_server_accepts_all_that_the_chart_renders(
    kubectl: Callable[..., str], namespace: str, watched: str
) -> None:
    objects = rendered(namespace, *STORE, f"--set=watchNamespaces={watched}")
    accepted = kubectl("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=objects)

    assert len(accepted.splitlines()) == len([*filter(None, yaml.safe_load_all(objects))])


def test_the_restricted_standard_admits_the_operator_s_pod(
    kubectl: Callable[..., str], namespace: str
) -> None:
    objects = rendered(namespace, "--set=serviceAccount.create=false", "--set=serviceAccount.name=default")
    deployment = next(item for item in yaml.safe_load_all(objects) if item and item["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    metadata = template["metadata"] | {"name": "operator", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    admitted = kubectl("create", "--dry-run=server", "--filename=-", stdin=pod)

    assert admitted.startswith("pod/operator created")
