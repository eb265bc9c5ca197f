"""The process node does what a kubelet does: seen through the real Job controller."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from .api import Object
from .up import Cluster

Found = TypeVar("Found")

RULES = [
    {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    {"action": "FailJob", "onExitCodes": {"containerName": "trial", "operator": "In", "values": [78]}},
]


def a_job(name: str, *command: str, pods: int = 1, env: list[Object] | None = None, **spec: Any) -> Object:
    """An Indexed Job as trials use it, under the restricted standard."""
    container = {
        "name": "trial",
        "image": "an/image",
        "command": list(command),
        "env": env or [],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container | spec.pop("container", {})],
        **spec,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "completions": pods,
            "parallelism": pods,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": RULES},
            "template": {"metadata": {"labels": {"app": "test"}}, "spec": pod},
        },
    }


def python(*lines: str) -> tuple[str, ...]:
    return ("python", "-c", "\n".join(lines))


def variable(name: str, field: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}}


class World:
    """One namespace, as the tests below look at it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.pods = f"/api/v1/namespaces/{namespace}/pods"

    def run(self, job: Object) -> Object:
        """Create a Job and wait until it is finished."""
        self.start(job)
        return self.finished(job["metadata"]["name"])

    def start(self, job: Object) -> None:
        self.cluster.api.create(self.jobs, job)

    def finished(self, name: str) -> Object:
        def condition() -> Object | None:
            conditions = self.cluster.api.get(f"{self.jobs}/{name}").get("status", {}).get("conditions", [])
            return next((one for one in conditions if one["type"] in ("Complete", "Failed")), None)

        return self.eventually(condition)

    def pod(self, job: str, phase: str | None = None) -> Object:
        def found() -> Object | None:
            pods = self.cluster.api.list(self.pods, labelSelector=f"job-name={job}")
            return next((pod for pod in pods if phase in (None, pod["status"].get("phase"))), None)

        return self.eventually(found)

    def container(self, job: str, state: str) -> Object:
        """The state of a Job's first container, once it is waiting, running or terminated."""

        def found() -> Object | None:
            statuses = self.pod(job)["status"].get("containerStatuses", [{}])
            value: Object | None = statuses[0].get("state", {}).get(state)
            return value

        return self.eventually(found)

    def eventually(self, probe: Callable[[], Found | None], seconds: float = 30) -> Found:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if value := probe():
                return value
            threading.Event().wait(0.05)
        raise AssertionError(f"not within {seconds} s")


@pytest.fixture
def world(cluster: Cluster, namespace: str) -> World:
    return World(cluster, namespace)


def test_an_indexed_job_completes(world: World) -> None:
    end = world.run(a_job("two", *python("print('hello')"), pods=2))

    assert (end["type"], end["reason"]) == ("Complete", "CompletionsReached")


def test_the_exit_status_decides_the_failure_policy(world: World) -> None:
    refused = world.run(a_job("refused", "sh", "-c", "exit 78"))
    broken = world.run(a_job("broken", "sh", "-c", "exit 3"))

    assert (refused["type"], refused["reason"]) == ("Failed", "PodFailurePolicy")
    assert (broken["type"], broken["reason"]) == ("Failed", "BackoffLimitExceeded")


def test_a_termination_message_arrives(world: World) -> None:
    world.run(a_job("told", "sh", "-c", """printf '{"loss": 0.25}' > /dev/termination-log"""))

    ended = world.container("told", "terminated")
    assert json.loads(ended["message"]) == {"loss": 0.25}
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")


def test_a_command_that_does_not_exist_fails_the_pod(world: World) -> None:
    end = world.run(a_job("odd", "no-such-command"))

    assert end["type"] == "Failed"
    assert world.container("odd", "terminated")["reason"] == "StartError"


def test_variables_are_resolved_as_a_kubelet_does(world: World) -> None:
    api, folder = world.cluster.api, f"/api/v1/namespaces/{world.namespace}"
    api.create(f"{folder}/secrets", {"metadata": {"name": "keys"}, "stringData": {"TOKEN": "s3cret"}})
    api.create(f"{folder}/configmaps", {"metadata": {"name": "settings"}, "data": {"SIZE": "3"}})
    env = [
        {"name": "A", "value": "one"},
        {"name": "B", "value": "$(A) $$(A) $(NONE)"},
        variable("NAMESPACE", "metadata.namespace"),
        variable("APP", "metadata.labels['app']"),
        {"name": "SIZE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "SIZE"}}},
    ]
    shown = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
    command = ("python", "-c", shown, "$(B)", "$$(A)")
    world.run(a_job("env", *command, env=env, container={"envFrom": [{"secretRef": {"name": "keys"}}]}))

    words, seen = json.loads(world.cluster.node.pod(world.namespace, "env").log())
    expected = {"B": "one $(A) $(NONE)", "NAMESPACE": world.namespace, "APP": "test", "SIZE": "3"}
    assert {name: seen[name] for name in expected} == expected
    assert seen["TOKEN"] == "s3cret"
    assert words == ["one $(A) $(NONE)", "$(A)"]
    assert "HYPERSWEEP_TERMINATION_LOG" in seen
    assert "KUBECONFIG" not in seen


def test_what_is_missing_keeps_a_container_waiting(world: World) -> None:
    reference = {"envFrom": [{"secretRef": {"name": "later"}}]}
    world.start(a_job("config", "true", container=reference))
    world.start(a_job("image", "true", container={"image": "missing/image"}))

    assert world.container("config", "waiting")["reason"] == "CreateContainerConfigError"
    assert world.container("image", "waiting")["reason"] == "ErrImagePull"
    secrets = f"/api/v1/namespaces/{world.namespace}/secrets"
    world.cluster.api.create(secrets, {"metadata": {"name": "later"}, "stringData": {}})
    assert world.finished("config")["type"] == "Complete"


def test_a_deleted_pod_is_terminated_first_and_killed_after_its_grace(world: World) -> None:
    told = "trap 'echo told; exit 75' TERM; sleep 100 & wait"
    world.start(a_job("polite", "sh", "-c", told))
    world.start(
        a_job("deaf", "sh", "-c", "trap '' TERM; echo up; sleep 100", terminationGracePeriodSeconds=1)
    )
    polite, deaf = (world.pod(name, "Running")["metadata"]["name"] for name in ("polite", "deaf"))
    node = world.cluster.node
    on_node = {name: node.pod(world.namespace, name) for name in (polite, deaf)}
    world.eventually(lambda: "up" in on_node[deaf].log())

    for name in ("polite", "deaf"):
        world.cluster.api.delete(f"{world.jobs}/{name}", policy="Foreground")
    world.eventually(lambda: not world.cluster.api.list(world.pods))
    assert on_node[polite].log() == "told\n"
    assert [on_node[name].processes["trial"].returncode for name in (polite, deaf)] == [75, -9]


def test_a_lost_node_says_nothing_until_it_is_back(world: World) -> None:
    world.start(a_job("lost", "sleep", "100"))
    world.pod("lost", "Running")
    node = world.cluster.node
    with world.cluster.another_node():
        node.lose()
        try:
            world.eventually(lambda: "deletionTimestamp" in world.pod("lost")["metadata"])
            still = world.pod("lost")["status"]["phase"]
        finally:
            node.recover()
        end = world.finished("lost")

    assert still == "Running"
    assert (end["type"], end["reason"]) == ("Failed", "PodFailurePolicy")
    world.eventually(lambda: "taints" not in world.cluster.api.get(node.path)["spec"])


def test_a_buried_pod_is_a_disruption(world: World) -> None:
    world.start(a_job("buried", "sleep", "100"))
    world.pod("buried", "Running")
    world.cluster.node.bury(world.namespace, "buried-0")

    assert world.finished("buried")["reason"] == "PodFailurePolicy"


def test_an_evicted_pod_is_a_disruption_and_a_killed_one_an_error(world: World) -> None:
    for name in ("evicted", "killed", "starved"):
        world.start(a_job(name, "sleep", "100"))
        world.pod(name, "Running")
    node = world.cluster.node
    node.evict(world.namespace, "evicted-0")
    node.kill(world.namespace, "killed-0")
    node.kill(world.namespace, "starved-0", reason="OOMKilled")

    reasons = [world.finished(name)["reason"] for name in ("evicted", "killed", "starved")]
    assert reasons == ["PodFailurePolicy", "BackoffLimitExceeded", "BackoffLimitExceeded"]
    assert world.container("killed", "terminated")["exitCode"] == 137
    assert world.container("starved", "terminated")["reason"] == "OOMKilled"


def test_the_pods_of_a_group_find_each_other_by_name(world: World) -> None:
    service = {"metadata": {"name": "group"}, "spec": {"clusterIP": "None", "selector": {"app": "test"}}}
    world.cluster.api.create(f"/api/v1/namespaces/{world.namespace}/services", service)
    env = [{"name": "MASTER", "value": f"meeting-0.group.{world.namespace}.svc"}]
    meeting = python(
        "import os, socket, time",
        "address = (os.environ['MASTER'], 21987)",
        "if os.environ['JOB_COMPLETION_INDEX'] == '0':",
        "    with socket.create_server(address) as server:",
        "        server.accept()[0].sendall(b'hello')",
        "else:",
        "    for _ in range(200):",
        "        try:",
        "            print(socket.create_connection(address).recv(5))",
        "            break",
        "        except ConnectionRefusedError:",
        "            time.sleep(0.05)",
    )
    end = world.run(a_job("meeting", *meeting, pods=2, env=env, subdomain="group"))

    assert end["type"] == "Complete"
    assert world.cluster.node.pod(world.namespace, "meeting-1").log() == "b'hello'\n"


def test_without_its_service_a_name_is_not_translated(world: World) -> None:
    env = [{"name": "MASTER", "value": "alone-0.nowhere"}]
    world.run(a_job("alone", *python("import os; print(os.environ['MASTER'])"), env=env, subdomain="nowhere"))

    assert world.cluster.node.pod(world.namespace, "alone").log() == "alone-0.nowhere\n"
