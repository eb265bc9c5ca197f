"""Simulated nodes: kwok lets their pods run and succeed, a process of ours writes their results."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cluster import build
from tests.cluster.up import Cluster

LABEL = "benchmark"  # of the nodes that are simulated: pods get there by their nodeSelector
VALUE = "simulated"
NODES = 4
CAPACITY = {"cpu": "1000", "memory": "1Ti", "pods": "1000"}
DURATION = 1000  # milliseconds that a pod runs

HEALTHY = """
conditions:
- {type: Ready, status: "True", reason: KubeletReady, message: "", lastHeartbeatTime: {{ Now | Quote }},
   lastTransitionTime: {{ .metadata.creationTimestamp | Quote }}}
phase: Running
"""
RUNNING = """
phase: Running
startTime: {{ Now | Quote }}
podIP: 10.89.0.1
podIPs: [{ip: 10.89.0.1}]
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ Now | Quote }}}
- {type: Ready, status: "True", lastTransitionTime: {{ Now | Quote }}}
- {type: ContainersReady, status: "True", lastTransitionTime: {{ Now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: true
  restartCount: 0
  state: {running: {startedAt: {{ Now | Quote }}}}
{{ end }}
"""
SUCCEEDED = """
phase: Succeeded
conditions:
- {type: Ready, status: "False", reason: PodCompleted, lastTransitionTime: {{ Now | Quote }}}
containerStatuses:
{{ range .status.containerStatuses }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: false
  restartCount: 0
  state:
    terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ .state.running.startedAt | Quote }}
      finishedAt: {{ Now | Quote }}
{{ end }}
"""


def _stage(name: str, kind: str, where: dict[str, str], then: Any, delay: int = 0) -> dict[str, Any]:
    """One step in the life of an object: what it must look like, and what becomes of it."""
    matches = []
    for key, value in where.items():
        given = {} if value in ("Exists", "DoesNotExist") else {"values": [value]}
        matches.append({"key": key, "operator": "In" if given else value, **given})
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": matches},
            **({"delay": {"durationMilliseconds": delay}} if delay else {}),
            "next": then,
        },
    }


LEAVING, PHASE = ".metadata.deletionTimestamp", ".status.phase"
STAGES = [  # none for a pod's deletion: of one that has ended nobody has to confirm it
    _stage("node-ready", "Node", {PHASE: "DoesNotExist"}, {"statusTemplate": HEALTHY}),
    _stage("node-beats", "Node", {PHASE: "Running"}, {"statusTemplate": HEALTHY}, 600_000),
    _stage("pod-runs", "Pod", {LEAVING: "DoesNotExist", PHASE: "Pending"}, {"statusTemplate": RUNNING}),
    _stage(
        "pod-ends",
        "Pod",
        {LEAVING: "DoesNotExist", PHASE: "Running"},
        {"statusTemplate": SUCCEEDED},
        DURATION,
    ),
]


@contextmanager
def simulated(cluster: Cluster, endpoint: str) -> Iterator[None]:
    """Nodes whose pods succeed a second after they started, with a result in the S3 at the endpoint."""
    folder = cluster.plane.folder
    config = folder / "kwok.yaml"
    config.write_text("\n---\n".join(map(json.dumps, STAGES)))
    for number in range(NODES):
        _register(cluster, f"simulated-{number}")
    kwok = [
        str(build.ensure("kwok") / "kwok"),
        f"--kubeconfig={cluster.plane.kubeconfig}",
        f"--config={config}",
        f"--manage-nodes-with-label-selector={LABEL}={VALUE}",
        "--node-lease-duration-seconds=40",
    ]
    trials = [
        *(sys.executable, "-m", "benchmarks.trials"),
        *(cluster.plane.server, str(cluster.api.authority), endpoint),
    ]
    environment = os.environ | {"TOKEN": cluster.api.token}
    started = [
        cluster.processes.start(kwok, log=folder / "kwok.log"),
        cluster.processes.start(trials, log=folder / "trials.log", env=environment),
    ]
    try:
        _await_ready(cluster)
        yield
    finally:
        cluster.processes.end(*started, grace=1)


def _register(cluster: Cluster, name: str) -> None:
    labels = {LABEL: VALUE, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    status = {"capacity": CAPACITY, "allocatable": CAPACITY}
    cluster.api.create("/api/v1/nodes", document)
    cluster.api.patch(f"/api/v1/nodes/{name}/status", {"status": status})


def _await_ready(cluster: Cluster, seconds: float = 30) -> None:
    for _ in range(int(seconds / 0.1)):
        nodes = cluster.api.list("/api/v1/nodes", labelSelector=f"{LABEL}={VALUE}")
        if all(_ready(node) for node in nodes):
            return
        threading.Event().wait(0.1)
    raise TimeoutError((cluster.plane.folder / "kwok.log").read_text()[-4000:])


def _ready(node: dict[str, Any]) -> bool:
    conditions = {found["type"]: found["status"] for found in node["status"].get("conditions", ())}
    tainted = bool(node["spec"].get("taints"))  # which it is until it was seen to be ready
    return conditions.get("Ready") == "True" and not tainted
