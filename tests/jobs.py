"""Jobs and pods as the API server tells them."""

from typing import Any

from hypersweep.contract import KIND, LABEL_ATTEMPT, LABEL_MANAGED_BY, LABEL_TRIAL, MANAGER
from hypersweep.job import RULES

OWNER = "sweep-uid"
REASONS = {"disrupted": 0, "checkpointed": 1, "config": 2}


def a_job(
    trial: int = 0,
    attempt: int = 0,
    *,
    uid: str = "",
    owner: str = OWNER,
    version: int = 1,
    deleting: bool = False,
    **status: Any,
) -> dict[str, Any]:
    metadata = {
        "name": f"digits-{trial}-{attempt}",
        "namespace": "team",
        "uid": uid or f"job-{trial}-{attempt}",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {LABEL_MANAGED_BY: MANAGER, LABEL_TRIAL: str(trial), LABEL_ATTEMPT: str(attempt)},
        "ownerReferences": [{"kind": KIND, "controller": True, "uid": owner, "name": "digits"}],
        "managedFields": [{"manager": "kube-controller-manager"}],
    }
    limits = {"limits": {"nvidia.com/gpu": "2"}}
    return {
        "metadata": metadata | ({"deletionTimestamp": "2026-01-01T00:01:00Z"} if deleting else {}),
        "spec": {
            "parallelism": 2,
            "podFailurePolicy": {"rules": RULES},
            "template": {"spec": {"containers": [{"name": "trial", "resources": limits}]}},
        },
        "status": status,
    }


def running() -> dict[str, Any]:
    return {"startTime": "2026-01-01T00:00:01Z", "active": 1, "ready": 1}


def ended(kind: str = "Complete", reason: str = "", message: str = "") -> dict[str, Any]:
    time = "2026-01-01T00:00:09Z"
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    return {"conditions": [condition | {"lastTransitionTime": time}], "startTime": "2026-01-01T00:00:01Z"}


def failed_by(rule: str) -> dict[str, Any]:
    return ended("Failed", "PodFailurePolicy", f"matching FailJob rule at index {REASONS[rule]}")


def a_pod(
    job: str = "job-0-0",
    index: int = 0,
    *,
    status: int | None = None,
    message: str = "",
    reason: str = "",
    leaves: str = "",
    **pod_status: Any,
) -> dict[str, Any]:
    times = {"startedAt": "2026-01-01T00:00:02Z", "finishedAt": "2026-01-01T00:00:08Z"}
    ended = {"terminated": {"exitCode": status, "reason": reason, "message": message, **times}}
    states = [{"name": "trial", "state": ended}] if status is not None else []
    metadata = {
        "name": f"pod-{index}",
        "labels": {
            "batch.kubernetes.io/controller-uid": job,
            "batch.kubernetes.io/job-completion-index": str(index),
        },
    }
    return {
        "metadata": metadata | ({"deletionTimestamp": leaves} if leaves else {}),
        "status": {"containerStatuses": states, **pod_status},
    }
