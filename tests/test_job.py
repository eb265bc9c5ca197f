"""The environment and the Job of an attempt, and what a Job's end says."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersweep import contract
from hypersweep.api import SweepSpec
from hypersweep.job import environment, exit_of, expand, render, service
from hypersweep.runner import Exit, Order
from hypersweep.trial import Suggestion

UID = "5f0c"
STORE = f"s3://sweeps/team-a/ns/digits-{UID}"


def a_spec(*, trial: dict[str, Any] | None = None, **fields: Any) -> SweepSpec:
    document: dict[str, Any] = {
        "objectives": [{"metric": "val_loss", "goal": "minimize"}],
        "parameters": [{"name": "lr", "float": {"min": 1e-4, "max": 1, "scale": "log"}}],
        "strategy": {"random": {}},
        "maxTrials": 10,
        "trial": trial or {},
    }
    return SweepSpec.model_validate(document | fields)


def with_container(**fields: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"containers": [{"name": "trial", **fields}]}}}


def an_order(trial: int = 7, attempt: int = 1, **fields: Any) -> Order:
    parameters = fields.pop("parameters", {"lr": 0.1})
    return Order(trial, attempt, Suggestion(parameters, seed=11, **fields))


def the_environment(
    spec: SweepSpec | None = None, order: Order | None = None, **place: Any
) -> dict[str, str]:
    return environment(spec or a_spec(), "digits", UID, order or an_order(), **place)


def a_job(spec: SweepSpec | None = None, order: Order | None = None, **place: Any) -> dict[str, Any]:
    place = {"image": "trainer:1"} | place
    return render(spec or a_spec(), "digits", "ns", UID, order or an_order(), **place)


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


# -- environment


def test_an_attempt_knows_who_it_is() -> None:
    env = the_environment()

    assert {
        "HYPERSWEEP_SWEEP": "digits",
        "HYPERSWEEP_TRIAL": "7",
        "HYPERSWEEP_ATTEMPT": "1",
        "HYPERSWEEP_SEED": "11",
    }.items() <= env.items()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0001, "0.0001"),
        (1e-05, "1e-05"),
        (3, "3"),
        (True, "true"),
        ("adamw", "adamw"),
        ("$(HOME) costs $5", "$(HOME) costs $5"),
        ((0.9, 0.99), "[0.9, 0.99]"),
        (("a", (1, False)), '["a", [1, false]]'),
    ],
)
def test_a_parameter_has_a_variable_of_its_own(value: Any, text: str) -> None:
    env = the_environment(order=an_order(parameters={"augment.rand-n": value}))

    assert env["HYPERSWEEP_PARAM_AUGMENT_RAND_N"] == text


def test_all_parameters_stand_in_one_object_by_name() -> None:
    env = the_environment(order=an_order(parameters={"lr": 0.1, "betas": (0.9, 0.99), "amsgrad": True}))

    assert env["HYPERSWEEP_PARAMETERS"] == '{"amsgrad": true, "betas": [0.9, 0.99], "lr": 0.1}'


def test_what_a_stage_does_not_set_is_absent() -> None:
    absent = {"HYPERSWEEP_EPOCHS", "HYPERSWEEP_DATA_FRACTION", "HYPERSWEEP_FINAL", "HYPERSWEEP_STORE"}

    assert absent & the_environment().keys() == set()


def test_what_a_stage_sets_is_there() -> None:
    env = the_environment(order=an_order(epochs=5, fraction=0.2, final=True))

    assert (env["HYPERSWEEP_EPOCHS"], env["HYPERSWEEP_DATA_FRACTION"], env["HYPERSWEEP_FINAL"]) == (
        "5",
        "0.2",
        "1",
    )


def test_an_attempt_writes_below_its_own_prefix_only() -> None:
    env = the_environment(store_url=STORE, endpoint="http://minio:9000", region="eu-central-1")

    assert env["HYPERSWEEP_STORE"] == f"{STORE}/trials/00007/attempts/1"
    assert env["HYPERSWEEP_STORE_ENDPOINT"] == "http://minio:9000"
    assert env["HYPERSWEEP_STORE_REGION"] == "eu-central-1"


def test_the_objectives_say_what_is_asked() -> None:
    env = the_environment(a_spec(objectives=[{"metric": "acc", "goal": "maximize", "at": "mean:3"}]))

    assert json.loads(env["HYPERSWEEP_OBJECTIVES"]) == [{"metric": "acc", "goal": "maximize", "at": "mean:3"}]


def test_the_built_in_trainer_gets_its_fixed_options() -> None:
    env = the_environment(a_spec(trainer={"data": "digits", "epochs": 20}))

    assert json.loads(env["HYPERSWEEP_TRAINER"]) == {"data": "digits", "epochs": 20}


def test_a_container_with_a_command_of_its_own_gets_none() -> None:
    env = the_environment(a_spec(trial=with_container(command=["./train"])))

    assert "HYPERSWEEP_TRAINER" not in env


@pytest.mark.parametrize("attempt", [0, 1])
def test_the_first_trial_alone_runs_all_checks(attempt: int) -> None:
    asked = [the_environment(order=an_order(trial, attempt)).get("HYPERSWEEP_CHECKS") for trial in (0, 1)]

    assert asked == ["all", None]


def test_nobody_checks_what_is_not_to_be_checked() -> None:
    own = a_spec(trial=with_container(command=["./train"]))

    for spec in (own, a_spec(trainer={"checks": "off"})):
        assert "HYPERSWEEP_CHECKS" not in the_environment(spec, an_order(0))


def test_a_replicate_is_given_what_the_first_one_found() -> None:
    env = the_environment(order=an_order(resolved={"lr": 0.01, "batch_size": 64}))

    assert json.loads(env["HYPERSWEEP_RESOLVED"]) == {"lr": 0.01, "batch_size": 64}
    assert "HYPERSWEEP_RESOLVED" not in the_environment()


def test_a_model_to_start_from_is_named_with_the_way_to_it() -> None:
    order = replace(an_order(), pretrained="s3://sweeps/ns/base-1/trials/00003/attempts/0/model")
    env = the_environment(order=order, endpoint="http://minio:9000", region="eu-central-1")

    assert env["HYPERSWEEP_PRETRAINED"] == order.pretrained
    assert (env["HYPERSWEEP_STORE_ENDPOINT"], env["HYPERSWEEP_STORE_REGION"]) == (
        "http://minio:9000",
        "eu-central-1",
    )
    assert "HYPERSWEEP_STORE" not in env


@pytest.mark.parametrize(
    ("trial", "ranks"),
    [
        ({}, "1"),
        ({"ranks": 3}, "3"),
        ({"resources": {"limits": {"nvidia.com/gpu": 4, "cpu": 8}}}, "4"),
        ({"resources": {"limits": {"nvidia.com/gpu": "2"}}, "ranks": 3}, "2"),
        (with_container(command=["./train"], resources={"limits": {"nvidia.com/mig-1g.10gb": 2}}), "2"),
    ],
)
def test_a_node_runs_a_rank_per_gpu(trial: dict[str, Any], ranks: str) -> None:
    assert the_environment(a_spec(trial=trial))["PET_NPROC_PER_NODE"] == ranks


def test_every_attempt_of_a_trial_meets_at_the_same_port() -> None:
    ports = [
        the_environment(order=an_order(trial, attempt))["PET_MASTER_PORT"]
        for trial, attempt in ((7, 1), (7, 2))
    ]

    assert ports == [str(contract.port(UID, 7))] * 2


@given(st.text(max_size=30), st.dictionaries(st.text("AB", min_size=1), st.text(max_size=5), max_size=2))
def test_doubled_dollars_come_out_of_an_expansion_as_they_were(text: str, env: dict[str, str]) -> None:
    assert expand(text.replace("$", "$$"), env) == text


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("--lr=$(LR)", "--lr=0.1"),
        ("$$(LR)", "$(LR)"),
        ("$(NO)$", "$(NO)$"),
        ("$LR", "$LR"),
        ("$(LR)$(LR)", "0.10.1"),
        ("$(L", "$(L"),
    ],
)
def test_a_variable_expands_as_on_kubernetes(text: str, expanded: str) -> None:
    assert expand(text, {"LR": "0.1"}) == expanded


# -- the Job


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


# -- what a Job's end says


def an_ended_job(
    reason: str, message: str = "", type: str = "Failed", status: str = "True"
) -> dict[str, Any]:
    condition = {"type": type, "status": status, "reason": reason, "message": message}
    return a_job() | {"status": {"conditions": [condition]}}


@pytest.mark.parametrize(
    ("message", "exit"),
    [
        (
            "Pod ns/digits-7-1-0-x has condition DisruptionTarget matching FailJob rule at index 0",
            Exit.PREEMPTED,
        ),
        (
            "Container trial for pod ns/p failed with exit code 75 matching FailJob rule at index 1",
            Exit.CHECKPOINTED,
        ),
        (
            "Container trial for pod ns/p failed with exit code 78 matching FailJob rule at index 2",
            Exit.CONFIG,
        ),
        ("in words of another version", Exit.ERROR),
        ("FailJob rule at index 9", Exit.ERROR),
    ],
)
def test_the_rule_that_matched_tells_the_class(message: str, exit: Exit) -> None:
    assert exit_of(an_ended_job("PodFailurePolicy", message)) is exit


@pytest.mark.parametrize(
    ("reason", "exit"), [("BackoffLimitExceeded", Exit.ERROR), ("DeadlineExceeded", Exit.TIMEOUT)]
)
def test_a_failed_job_says_why(reason: str, exit: Exit) -> None:
    assert exit_of(an_ended_job(reason)) is exit


def test_a_complete_job_is_complete() -> None:
    assert exit_of(an_ended_job("CompletionsReached", type="Complete")) is Exit.COMPLETE


@pytest.mark.parametrize(
    ("type", "status"), [("FailureTarget", "True"), ("Failed", "False"), ("Suspended", "True")]
)
def test_a_job_whose_pods_may_still_run_has_not_ended(type: str, status: str) -> None:
    assert exit_of(an_ended_job("PodFailurePolicy", type=type, status=status)) is None


def test_a_job_without_a_status_has_not_ended() -> None:
    assert exit_of(a_job()) is None
