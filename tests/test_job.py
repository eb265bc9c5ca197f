"""The Job of an attempt: its pods, their command and credentials, and the user's template over it."""

from datetime import timedelta
from typing import Any

import pytest

from hypersweep.job import environment, expand, service
from tests.rendering import STORE, UID, a_job, a_spec, an_order, with_container


def the_pod(job: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    return pod


def the_container(job: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = the_pod(job)["containers"][0]
    return container


def the_variables(job: dict[str, Any]) -> dict[str, str]:
    """What the process sees, as the kubelet expands it."""
    found: dict[str, str] = {}
    for variable in the_container(job)["env"]:
        if "value" in variable:
            found[variable["name"]] = expand(variable["value"], found)
    return found


def test_a_job_is_an_attempt_that_ends_as_a_whole() -> None:
    job = a_job(a_spec(trial={"nodes": 2}))

    assert job["metadata"]["name"] == "digits-7-1"
    assert {
        "completionMode": "Indexed",
        "completions": 2,
        "parallelism": 2,
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
    }.items() <= job["spec"].items()


def test_a_job_belongs_to_its_sweep() -> None:
    owner = {
        "apiVersion": "hypersweep.io/v1alpha1",
        "kind": "HyperSweep",
        "name": "digits",
        "uid": UID,
        "controller": True,
        "blockOwnerDeletion": True,
    }

    assert a_job()["metadata"]["ownerReferences"] == [owner]
    assert service("digits", "ns", UID)["metadata"]["ownerReferences"] == [owner]


def test_job_and_pods_are_found_by_the_same_labels() -> None:
    job = a_job()
    labels = {
        "hypersweep.io/sweep": "digits",
        "hypersweep.io/uid": UID,
        "hypersweep.io/trial": "7",
        "hypersweep.io/attempt": "1",
        "app.kubernetes.io/managed-by": "hypersweep",
    }

    assert job["metadata"]["labels"] == labels
    assert job["spec"]["template"]["metadata"]["labels"] == labels


@pytest.mark.parametrize(("timeout", "seconds"), [("2h", 7200), ("1500ms", 2)])
def test_a_timeout_is_the_jobs_deadline(timeout: str, seconds: int) -> None:
    spec = a_spec()
    length = {"2h": timedelta(hours=2), "1500ms": timedelta(milliseconds=1500)}[timeout]
    spec = spec.model_copy(update={"trial": spec.trial.model_copy(update={"timeout": length})})

    assert a_job(spec)["spec"]["activeDeadlineSeconds"] == seconds


def test_without_a_timeout_a_job_has_no_deadline() -> None:
    assert "activeDeadlineSeconds" not in a_job()["spec"]


def test_a_pod_is_under_the_restricted_standard() -> None:
    pod = the_pod(a_job(a_spec(trial={"podTemplate": {"spec": {"initContainers": [{"name": "fetch"}]}}})))
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert [c["securityContext"] for c in (*pod["containers"], *pod["initContainers"])] == [restricted] * 2


def test_a_pod_never_restarts_and_sees_nothing_of_the_cluster() -> None:
    pod = the_pod(a_job())

    assert {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 60,
    }.items() <= pod.items()


def test_ranks_share_memory() -> None:
    job = a_job()

    assert the_pod(job)["volumes"] == [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    assert the_container(job)["volumeMounts"] == [{"name": "shm", "mountPath": "/dev/shm"}]


def test_the_built_in_container_has_an_explicit_command_and_the_operators_image() -> None:
    container = the_container(a_job())

    assert (container["name"], container["command"]) == ("trial", ["python", "-m", "hypersweep_trainer"])
    assert (container["image"], container["terminationMessagePolicy"]) == ("trainer:1", "File")


def test_the_manifests_image_wins() -> None:
    assert the_container(a_job(a_spec(trial={"image": "mine:2"})))["image"] == "mine:2"


def test_resources_are_the_containers() -> None:
    resources = {"limits": {"nvidia.com/gpu": 1}}

    assert the_container(a_job(a_spec(trial={"resources": resources})))["resources"] == resources


def test_a_process_sees_exactly_its_environment() -> None:
    order = an_order(parameters={"name": "$(HYPERSWEEP_SEED) $$ $5", "lr": 0.1})
    expected = environment(a_spec(), "digits", UID, order, store_url=STORE)

    assert expected.items() <= the_variables(a_job(order=order, store_url=STORE)).items()


@pytest.mark.parametrize(
    ("limits", "own", "gpus"),
    [
        ({}, {}, None),
        ({"cpu": 4}, {}, None),
        ({"nvidia.com/gpu": 0}, {}, None),
        ({"nvidia.com/gpu": 4}, {}, "4"),
        ({"amd.com/gpu": 2}, {}, "2"),
        ({"nvidia.com/gpu": 4}, {"nvidia.com/gpu": 1}, "1"),
    ],
)
def test_a_pod_knows_how_many_gpus_it_has_and_a_local_process_does_not(
    limits: dict[str, Any], own: dict[str, Any], gpus: str | None
) -> None:
    spec = a_spec(trial={"resources": {"limits": limits}, **with_container(resources={"limits": own})})

    assert the_variables(a_job(spec)).get("HYPERSWEEP_GPUS") == gpus
    assert "HYPERSWEEP_GPUS" not in environment(spec, "digits", UID, an_order())


def test_a_command_line_may_name_a_parameter() -> None:
    spec = a_spec(trial=with_container(command=["train", "--lr=$(HYPERSWEEP_PARAM_LR)"]))
    job = a_job(spec)

    command = [expand(part, the_variables(job)) for part in the_container(job)["command"]]
    assert command == ["train", "--lr=0.1"]


def test_a_variable_of_the_template_may_name_a_parameter() -> None:
    spec = a_spec(trial=with_container(env=[{"name": "RATE", "value": "rate $(HYPERSWEEP_PARAM_LR)"}]))

    assert the_variables(a_job(spec))["RATE"] == "rate 0.1"


def test_what_only_the_node_knows_comes_from_the_pod() -> None:
    fields = {
        v["name"]: v["valueFrom"]["fieldRef"]["fieldPath"]
        for v in the_container(a_job())["env"]
        if "valueFrom" in v
    }

    assert fields == {
        "PET_NODE_RANK": "metadata.annotations['batch.kubernetes.io/job-completion-index']",
        "HYPERSWEEP_POD_UID": "metadata.uid",
    }


def test_several_nodes_meet_at_the_first_ones_name() -> None:
    job = a_job(a_spec(trial={"nodes": 2}))

    assert the_variables(job)["PET_MASTER_ADDR"] == "digits-7-1-0.digits-trials.ns.svc"
    assert the_pod(job)["subdomain"] == service("digits", "ns", UID)["metadata"]["name"]


def test_one_node_needs_no_name() -> None:
    job = a_job()

    assert the_variables(job)["PET_MASTER_ADDR"] == "127.0.0.1"
    assert "subdomain" not in the_pod(job)


def test_the_service_has_a_name_for_every_pod_of_this_sweep_from_its_start() -> None:
    found = service("digits", "ns", UID)["spec"]
    labels = a_job()["spec"]["template"]["metadata"]["labels"]

    assert (found["clusterIP"], found["publishNotReadyAddresses"]) == ("None", True)
    assert found["selector"].items() <= labels.items()
    assert not found["selector"].items() <= (labels | {"hypersweep.io/uid": "another"}).items()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "default"),
        ({"store": {"url": "s3://sweeps/team-a", "secretName": "mine"}}, "mine"),
    ],
)
def test_the_stores_credentials_come_from_a_secret(fields: dict[str, Any], expected: str) -> None:
    job = a_job(a_spec(**fields), secret="default")

    assert the_container(job)["envFrom"] == [{"secretRef": {"name": expected}}]


def test_a_store_without_a_secret_leaves_it_to_the_pods_identity() -> None:
    job = a_job(a_spec(store={"url": "s3://sweeps/team-a"}), secret="default")

    assert "envFrom" not in the_container(job)


def test_a_template_that_reads_variables_keeps_the_stores_credentials() -> None:
    mine = {"configMapRef": {"name": "mine"}}
    job = a_job(a_spec(trial=with_container(envFrom=[mine])), secret="s3")

    assert the_container(job)["envFrom"] == [{"secretRef": {"name": "s3"}}, mine]


def test_the_message_goes_where_the_template_says() -> None:
    spec = a_spec(trial=with_container(terminationMessagePath="/tmp/message"))

    assert the_variables(a_job(spec))["HYPERSWEEP_TERMINATION_LOG"] == "/tmp/message"
    assert the_variables(a_job())["HYPERSWEEP_TERMINATION_LOG"] == "/dev/termination-log"


def test_a_template_is_merged_over_ours() -> None:
    template = {
        "metadata": {"annotations": {"team": "a"}, "labels": {"team": "a"}},
        "spec": {
            "nodeSelector": {"gpu": "a100"},
            "terminationGracePeriodSeconds": 120,
            "containers": [
                {"name": "proxy", "image": "proxy:1"},
                {
                    "name": "trial",
                    "image": "mine:3",
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    "resources": {"requests": {"cpu": "2"}},
                },
            ],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    }
    job = a_job(a_spec(trial={"podTemplate": template, "resources": {"limits": {"cpu": 4}}}))
    pod, container = the_pod(job), the_container(job)

    assert job["spec"]["template"]["metadata"]["annotations"] == {"team": "a"}
    assert {"team": "a", "hypersweep.io/trial": "7"}.items() <= job["spec"]["template"]["metadata"][
        "labels"
    ].items()
    assert (pod["nodeSelector"], pod["terminationGracePeriodSeconds"]) == ({"gpu": "a100"}, 120)
    assert [c["name"] for c in pod["containers"]] == ["trial", "proxy"]
    assert [v["name"] for v in pod["volumes"]] == ["shm", "data"]
    assert [m["mountPath"] for m in container["volumeMounts"]] == ["/dev/shm", "/data"]
    assert (container["image"], container["resources"]) == (
        "mine:3",
        {"limits": {"cpu": 4}, "requests": {"cpu": "2"}},
    )


def test_an_empty_template_changes_nothing() -> None:
    template = {"metadata": None, "spec": {"containers": None, "initContainers": None, "volumes": None}}

    assert a_job(a_spec(trial={"podTemplate": template})) == a_job()


def test_rendering_changes_neither_spec_nor_a_second_rendering() -> None:
    spec = a_spec(
        trial={
            "podTemplate": {
                "spec": {
                    "containers": [{"name": "trial"}, {"name": "proxy"}],
                    "initContainers": [{"name": "x"}],
                }
            }
        }
    )
    before = spec.model_dump_json()

    assert a_job(spec, secret="s3") == a_job(spec, secret="s3")
    assert spec.model_dump_json() == before
