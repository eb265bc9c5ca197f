"""Installs the chart into the current cluster and runs every example there, as a user would.

No operator of all namespaces may run there, and its nodes must find the images. HELM_ARGS holds what the
chart must be told of that cluster:

    make e2e HELM_ARGS='--set image.registry=registry.example --set trainer.image.registry=registry.example'
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.build import ensure

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
RELEASE = "hypersweep-e2e"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
TIMEOUT = 1800  # seconds for one example; most of it is the first pull of the trainer's image
TERMINAL = ("Succeeded", "Failed")


def run(tool: str, *arguments: str) -> str:
    print("$", tool, *arguments)
    done = subprocess.run([str(ensure(tool) / tool), *arguments], capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="")
    assert done.returncode == 0, done.stderr
    return done.stdout


def kubectl(*arguments: str) -> str:
    return run("kubectl", "--namespace", RELEASE, *arguments)


@pytest.fixture(scope="module", autouse=True)
def release() -> Iterator[None]:
    """The chart in a namespace of its own, which refuses pods that are not restricted."""
    labels = [f"{name}={value}" for name, value in RESTRICTED.items()]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE}}
    subprocess.run(
        [str(ensure("kubectl") / "kubectl"), "apply", "--filename=-"],
        input=json.dumps(namespace),
        text=True,
        check=True,
    )
    run("kubectl", "label", "--overwrite", "namespace", RELEASE, *labels)
    chart = [RELEASE, str(ROOT / "charts" / "hypersweep"), "--namespace", RELEASE]
    watched = ["--set", f"crds.install=false,watchNamespaces={{{RELEASE}}}", "--wait", "--timeout=10m"]
    # not by Helm, which leaves a definition that another release installed alone
    run("kubectl", "apply", "--server-side", "--force-conflicts", f"--filename={ROOT / 'crds'}")
    run("helm", "upgrade", "--install", *chart, *watched, *shlex.split(os.environ.get("HELM_ARGS", "")))
    yield
    run("helm", "uninstall", RELEASE, "--namespace", RELEASE, "--wait")
    run("kubectl", "delete", "namespace", RELEASE)


@pytest.mark.timeout(TIMEOUT + 300)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_succeeds_and_leaves_nothing(example: Path) -> None:
    sweep = yaml.safe_load(example.read_text())["metadata"]["name"]
    kubectl("apply", f"--filename={example}")
    try:
        phase = finished(sweep)
    finally:
        shown = kubectl("get", "hypersweep", sweep) + kubectl("describe", "hypersweep", sweep)
    kubectl("delete", "hypersweep", sweep, "--cascade=foreground", "--timeout=120s")

    assert phase == "Succeeded", shown
    assert left(sweep) == []


def finished(sweep: str) -> str:
    """The phase in which a sweep ends."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        found: dict[str, Any] = json.loads(
            subprocess.check_output(
                [str(ensure("kubectl") / "kubectl"), "-n", RELEASE, "get", "hypersweep", sweep, "-o", "json"]
            )
        )
        status = found.get("status", {})
        print(f"\r{sweep}: {status.get('phase')} {status.get('progress')}", end="", file=sys.stderr)
        if status.get("phase") in TERMINAL:
            print(file=sys.stderr)
            return str(status["phase"])
        time.sleep(2)
    return f"not finished after {TIMEOUT} s"


def left(sweep: str) -> list[str]:
    kinds = "jobs,pods,services,configmaps"
    return kubectl("get", kinds, f"--selector=hypersweep.io/sweep={sweep}", "--output=name").split()
