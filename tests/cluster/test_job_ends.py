"""The rendered Job on the real Job controller: what its conditions say of each kind of end."""

import time
from typing import Any

import pytest

from hypersweep.api import SweepSpec
from hypersweep.job import exit_of, render, service
from hypersweep.runner import Exit, Order
from hypersweep.space import Value
from hypersweep.trial import Suggestion

from .up import Cluster

UID = "5f0c"


def a_job(namespace: str, script: str, lr: Value = 0.1, **trial: Any) -> dict[str, Any]:
    container = {"name": "trial", "command": ["python", "-c", script]}
    trial = {"podTemplate": {"spec": {"containers": [container]}}} | trial
    spec = SweepSpec.model_validate(
        {
            "objectives": [{"metric": "loss", "goal": "minimize"}],
            "strategy": {"list": [{"lr": lr}]},
            "trial": trial,
        }
    )
    order = Order(0, 0, Suggestion({"lr": lr}, seed=1))
    job = render(spec, "digits", namespace, UID, order, image="any", store_url="s3://sweeps/x")
    job["metadata"].pop("ownerReferences")  # of a sweep that is not there: the garbage collector's
    return job


def the_end(cluster: Cluster, namespace: str, job: dict[str, Any]) -> Exit:
    cluster.api.create(f"/apis/batch/v1/namespaces/{namespace}/jobs", job)
    return ended(cluster, namespace)


def ended(cluster: Cluster, namespace: str) -> Exit:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = cluster.api.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/digits-0-0")
        if (end := exit_of(found)) is not None:
            return end
        time.sleep(0.2)
    raise AssertionError(f"the Job did not end: {found['status']}")


@pytest.mark.parametrize(
    ("script", "exit"),
    [
        ("pass", Exit.COMPLETE),
        ("raise SystemExit(1)", Exit.ERROR),
        ("raise SystemExit(75)", Exit.CHECKPOINTED),
        ("raise SystemExit(78)", Exit.CONFIG),
        ("import os; os.kill(os.getpid(), 9)", Exit.ERROR),
    ],
)
def test_the_exit_status_stands_in_the_job(cluster: Cluster, namespace: str, script: str, exit: Exit) -> None:
    assert the_end(cluster, namespace, a_job(namespace, script)) is exit


def test_a_deadline_stands_in_the_job(cluster: Cluster, namespace: str) -> None:
    job = a_job(namespace, "import time; time.sleep(60)", timeout="1s")

    assert the_end(cluster, namespace, job) is Exit.TIMEOUT


def test_an_eviction_counts_before_the_exit_status_that_it_causes(cluster: Cluster, namespace: str) -> None:
    script = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(75)); time.sleep(60)"
    cluster.api.create(f"/apis/batch/v1/namespaces/{namespace}/jobs", a_job(namespace, script))
    cluster.kubectl(
        "wait", "-n", namespace, "--for=jsonpath={.status.ready}=1", "--timeout=30s", "job/digits-0-0"
    )
    cluster.node.evict(namespace, cluster.node.pods(namespace)[0].name)

    assert ended(cluster, namespace) is Exit.PREEMPTED


def test_the_nodes_of_a_trial_meet_through_the_service(cluster: Cluster, namespace: str) -> None:
    script = """
import os, socket, time
address = (os.environ["PET_MASTER_ADDR"], int(os.environ["PET_MASTER_PORT"]))
if os.environ["PET_NODE_RANK"] == "0":
    with socket.create_server(("", address[1])) as server:
        server.settimeout(20)
        server.accept()[0].sendall(b"hello")
else:
    for attempt in range(100):
        try:
            with socket.create_connection(address) as peer:
                assert peer.recv(5) == b"hello"
            break
        except OSError:
            time.sleep(0.2)
    else:
        raise SystemExit(1)
"""
    body = service("digits", namespace, UID)
    body["metadata"].pop("ownerReferences")
    cluster.api.create(f"/api/v1/namespaces/{namespace}/services", body)

    assert the_end(cluster, namespace, a_job(namespace, script, nodes=2)) is Exit.COMPLETE


def test_one_node_that_fails_ends_the_trial_as_a_whole(cluster: Cluster, namespace: str) -> None:
    script = (
        "import os, time; time.sleep(60 if os.environ['PET_NODE_RANK'] == '0' else 0); raise SystemExit(78)"
    )
    job = a_job(namespace, script, nodes=2)
    job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1

    assert the_end(cluster, namespace, job) is Exit.CONFIG


def test_a_parameter_reaches_the_process_as_it_is(cluster: Cluster, namespace: str) -> None:
    value = "$(HOME) $$ $5"
    script = f"import os; assert list(os.environb[b'HYPERSWEEP_PARAM_LR']) == {list(value.encode())}"

    assert the_end(cluster, namespace, a_job(namespace, script, lr=value)) is Exit.COMPLETE
