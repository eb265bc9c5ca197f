"""The environment of an attempt, its Job, the Service of its ranks, and what a Job's end says."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from hypersweep import contract, podtemplate, preflight
from hypersweep.api import SweepSpec
from hypersweep.runner import Exit, Order
from hypersweep.space import Value
from hypersweep.template import merge

COMMAND = ["python", "-m", "hypersweep_trainer"]
RULES: list[dict[str, Any]] = [
    # in order: a disrupted pod that saved a checkpoint and left with 75 was disrupted
    {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    *(
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": contract.CONTAINER, "operator": "In", "values": [status]},
        }
        for status in (contract.EXIT_STOPPED, contract.EXIT_CONFIG)
    ),
]
GPU = re.compile(r"/gpu$|/mig-")  # resources that are a GPU or a part of one


def environment(
    spec: SweepSpec,
    sweep: str,
    uid: str,
    order: Order,
    *,
    store_url: str | None = None,
    endpoint: str | None = None,
    region: str | None = None,
) -> dict[str, str]:
    """What an attempt gets, exactly as it must see it, but for what only its node knows.

    `store_url` is the sweep's own prefix; the attempt is given its part of it.
    """
    suggestion = order.suggestion
    values = dict(sorted(suggestion.parameters.items()))
    files = store_url or order.pretrained  # what is read or written by the operator's endpoint
    thorough = preflight.asked(spec, order.trial, values)
    objectives = [{"metric": o.metric, "goal": o.goal, "at": o.at} for o in spec.objectives]
    prefix = contract.attempt_prefix(order.trial, order.attempt)
    env = {contract.parameter_env(name): _text(value) for name, value in values.items()}
    env |= {
        contract.ENV_PARAMETERS: json.dumps(values),
        contract.ENV_SWEEP: sweep,
        contract.ENV_TRIAL: str(order.trial),
        contract.ENV_ATTEMPT: str(order.attempt),
        contract.ENV_SEED: str(suggestion.seed),
        contract.ENV_REPLICATE: str(suggestion.replicate),
        contract.ENV_OBJECTIVES: json.dumps(objectives),
        "PET_NNODES": str(spec.trial.nodes),
        "PET_NPROC_PER_NODE": str(spec.trial.ranks_per_node),
        "PET_MASTER_PORT": str(contract.port(uid, order.trial)),
    }
    optional = {
        contract.ENV_EPOCHS: suggestion.epochs,
        contract.ENV_DATA_FRACTION: suggestion.fraction,
        contract.ENV_FINAL: 1 if suggestion.final else None,
        contract.ENV_TRAINER: None if spec.trainer is None else json.dumps(spec.trainer, sort_keys=True),
        contract.ENV_STORE: store_url and f"{store_url}/{prefix}",
        contract.ENV_STORE_ENDPOINT: files and endpoint,
        contract.ENV_STORE_REGION: files and region,
        contract.ENV_CHECKS: preflight.ALL if thorough else None,
        contract.ENV_RESOLVED: suggestion.resolved and json.dumps(suggestion.resolved, sort_keys=True),
        contract.ENV_PRETRAINED: order.pretrained,
    }
    return env | {name: str(value) for name, value in optional.items() if value is not None}


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def expand(text: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` in a command line as Kubernetes expands it: `$$` is a `$`, an unknown name stays."""
    return re.sub(r"\$(\$|\(([^()]*)\))", lambda m: "$" if m[1] == "$" else env.get(m[2], m[0]), text)


def service_name(sweep: str) -> str:
    return f"{sweep}-trials"


def render(
    spec: SweepSpec,
    sweep: str,
    namespace: str,
    uid: str,
    order: Order,
    *,
    image: str,
    store_url: str | None = None,
    endpoint: str | None = None,
    region: str | None = None,
    secret: str | None = None,
) -> dict[str, Any]:
    """The Job of one attempt; `image` and `secret` are what a manifest that names none gets."""
    name = contract.attempt_name(sweep, order.trial, order.attempt)
    env = environment(spec, sweep, uid, order, store_url=store_url, endpoint=endpoint, region=region)
    labels = _labels(sweep, uid) | {
        contract.LABEL_TRIAL: str(order.trial),
        contract.LABEL_ATTEMPT: str(order.attempt),
    }
    if spec.store is not None:
        secret = spec.store.secret_name
    timeout = spec.trial.timeout
    deadline = {} if timeout is None else {"activeDeadlineSeconds": math.ceil(timeout.total_seconds())}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(name, namespace, sweep, uid, labels),
        "spec": {
            "completionMode": "Indexed",
            "completions": spec.trial.nodes,
            "parallelism": spec.trial.nodes,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": RULES},
            **deadline,
            "template": _pod(spec, sweep, namespace, name, env, labels, image, secret),
        },
    }


def service(sweep: str, namespace: str, uid: str) -> dict[str, Any]:
    """The headless Service through which the nodes of all trials of a sweep find rank 0."""
    labels = _labels(sweep, uid)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(service_name(sweep), namespace, sweep, uid, labels),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            # with the uid: pods of a deleted sweep of this name may still be there, under equal host names
            "selector": {label: labels[label] for label in (contract.LABEL_SWEEP, contract.LABEL_UID)},
        },
    }


def exit_of(job: Mapping[str, Any]) -> Exit | None:
    """What the conditions of a Job say of its end; None while pods of it may still run.

    The Job controller names the rule that matched in the message of the condition Failed.
    """
    conditions = (job.get("status") or {}).get("conditions") or []
    true = {condition["type"]: condition for condition in conditions if condition["status"] == "True"}
    if "Complete" in true:
        return Exit.COMPLETE
    if "Failed" not in true:
        return None
    match true["Failed"].get("reason"):
        case "DeadlineExceeded":
            return Exit.TIMEOUT
        case "PodFailurePolicy":
            return _rule(job, true["Failed"].get("message") or "")
    return Exit.ERROR


def _rule(job: Mapping[str, Any], message: str) -> Exit:
    found = re.search(r"rule at index (\d+)", message)
    rules = job["spec"]["podFailurePolicy"]["rules"]
    if found is None or int(found[1]) >= len(rules):
        return Exit.ERROR
    rule = rules[int(found[1])]
    if rule.get("onPodConditions"):
        return Exit.PREEMPTED
    return EXITS.get(tuple(rule["onExitCodes"]["values"]), Exit.ERROR)


EXITS = {(contract.EXIT_STOPPED,): Exit.CHECKPOINTED, (contract.EXIT_CONFIG,): Exit.CONFIG}


def _labels(sweep: str, uid: str) -> dict[str, str]:
    return {
        contract.LABEL_SWEEP: sweep,
        contract.LABEL_UID: uid,
        contract.LABEL_MANAGED_BY: contract.MANAGER,
    }


def owner_reference(sweep: str, uid: str) -> dict[str, Any]:
    """What makes an object a sweep's own, and goes with it."""
    return {
        "apiVersion": f"{contract.GROUP}/{contract.VERSION}",
        "kind": contract.KIND,
        "name": sweep,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _metadata(name: str, namespace: str, sweep: str, uid: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": namespace,
        "labels": labels,
        "ownerReferences": [owner_reference(sweep, uid)],
    }


def _pod(
    spec: SweepSpec,
    sweep: str,
    namespace: str,
    name: str,
    env: Mapping[str, str],
    labels: dict[str, str],
    image: str,
    secret: str | None,
) -> dict[str, Any]:
    several = spec.trial.nodes > 1
    host = f"{name}-0.{service_name(sweep)}.{namespace}.svc" if several else "127.0.0.1"
    own = {
        "metadata": {"labels": labels},
        "spec": {
            "restartPolicy": "Never",
            **({"subdomain": service_name(sweep)} if several else {}),
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 60,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [_container(spec, dict(env) | {"PET_MASTER_ADDR": host}, image)],
            # the runtime's own /dev/shm has 64 MB, too little for ranks that exchange tensors through it
            "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
        },
    }
    template = spec.trial.pod_template
    assert not (problems := [*podtemplate.problems(template, "spec.trial.podTemplate")]), problems
    pod = merge(own, template)
    trial, *others = pod["spec"]["containers"]
    if secret:
        # after the merge: a template with variables of its own must not lose the store's credentials
        trial = trial | {"envFrom": [{"secretRef": {"name": secret}}, *trial.get("envFrom", ())]}
    pod["spec"]["containers"] = [_restricted(container) for container in (trial, *others)]
    if "initContainers" in pod["spec"]:
        pod["spec"]["initContainers"] = [_restricted(c) for c in pod["spec"]["initContainers"]]
    return pod


def _restricted(container: Mapping[str, Any]) -> dict[str, Any]:
    """The container under the restricted Pod Security Standard, unless it says otherwise itself."""
    own = container.get("securityContext") or {}
    return {**container, "securityContext": merge(RESTRICTED, own)}


RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _container(spec: SweepSpec, env: dict[str, str], image: str) -> dict[str, Any]:
    log = spec.trial.container.get("terminationMessagePath") or contract.TERMINATION_LOG
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    gpus = {contract.ENV_GPUS: str(spec.trial.gpus)} if spec.trial.gpus else {}  # on a cluster only
    return {
        "name": contract.CONTAINER,
        "image": spec.trial.image or image,
        **({"command": COMMAND} if spec.trial.command is None else {}),
        "env": [
            # `$` doubled: the kubelet expands `$(NAME)` in these values, too
            *({"name": n, "value": v.replace("$", "$$")} for n, v in (env | gpus).items()),
            {"name": contract.ENV_TERMINATION_LOG, "value": log},
            {"name": contract.ENV_POD_UID, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "PET_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": index}}},
        ],
        "resources": spec.trial.resources.model_dump(exclude_defaults=True),
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    }
