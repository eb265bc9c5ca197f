"""What the pods of an attempt tell: since when they run, how they ended, why they do not start."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hypersweep.contract import CONTAINER, EXIT_CONFIG, EXIT_STOPPED
from hypersweep.runner import Result, parse_message

INDEX = "batch.kubernetes.io/job-completion-index"
CONTROLLER = "batch.kubernetes.io/controller-uid"
STUCK = timedelta(minutes=5)  # beyond its grace, before a terminating pod counts as lost
TEXT = 1024  # characters of one cause
STATUSES = {
    EXIT_STOPPED: "stopped with a checkpoint",
    EXIT_CONFIG: "bad configuration or store",
    137: "killed",
    143: "terminated",
}


@dataclass(frozen=True)
class Pod:
    name: str
    index: int
    phase: str
    leaves: datetime | None  # end of its grace, when it is being deleted
    started: datetime | None  # of the trial's container
    finished: datetime | None
    status: int | None  # exit status of the trial's container
    reason: str
    message: str

    @property
    def deleting(self) -> bool:
        return self.leaves is not None


def parse(document: Mapping[str, Any]) -> Pod:
    metadata, status = document["metadata"], document.get("status") or {}
    labels = (metadata.get("annotations") or {}) | (metadata.get("labels") or {})
    states = {c["name"]: c.get("state") or {} for c in status.get("containerStatuses") or ()}
    state = states.get(CONTAINER) or {}
    ended = state.get("terminated") or {}
    began = ended or state.get("running") or {}
    reason, message = _reason(status, state)
    return Pod(
        name=metadata["name"],
        index=int(labels.get(INDEX, 0)),
        phase=status.get("phase", ""),
        leaves=_time(metadata.get("deletionTimestamp")),
        started=_time(began.get("startedAt")),
        finished=_time(ended.get("finishedAt")),
        status=ended.get("exitCode"),
        reason=reason,
        message=message,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _reason(status: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[str, str]:
    """The most telling reason and message: of the container, of an init container, of the pod."""
    others = [c.get("state") or {} for c in status.get("initContainerStatuses") or ()]
    failed = [s for s in others if (s.get("terminated") or {}).get("exitCode") or s.get("waiting")]
    for found in (state, *failed):
        told = found.get("terminated") or found.get("waiting") or {}
        if told and told.get("reason") not in ("PodInitializing", "ContainerCreating", None):
            return str(told["reason"]), str(told.get("message") or "")
    for condition in status.get("conditions") or ():
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            return str(condition.get("reason") or ""), str(condition.get("message") or "")
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("reason") or ""), str(condition.get("message") or "")
    return str(status.get("reason") or ""), str(status.get("message") or "")


def began(pods: Iterable[Pod]) -> datetime | None:
    """When the last of them began: a group works from then on."""
    return max((pod.started for pod in pods if pod.started), default=None)


def finished(pods: Iterable[Pod]) -> datetime | None:
    return max((pod.finished for pod in pods if pod.finished), default=None)


def stuck(pods: Iterable[Pod], now: datetime) -> Pod | None:
    """A pod whose node does not answer: its grace is over for long, and it is still there."""
    return next((pod for pod in pods if pod.leaves and now > pod.leaves + STUCK), None)


def result(pods: Iterable[Pod]) -> Result | None:
    """The termination message of completion index 0, when it holds numbers."""
    for pod in pods:
        if pod.index == 0 and pod.status == 0:
            try:
                return parse_message(json.loads(pod.message))
            except ValueError:
                return None
    return None


def cause(pods: Sequence[Pod]) -> str:
    """Why an attempt ended as it did, or does not start: the first pod that failed speaks for all."""
    failed = [pod for pod in pods if pod.status not in (None, 0)] or [pod for pod in pods if pod.reason]
    if not failed:
        return ""
    pod = min(failed, key=lambda p: (p.finished is None, p.finished or datetime.min, p.index))
    parts = []
    if pod.status is not None:
        meaning = STATUSES.get(pod.status)
        parts.append(f"exit status {pod.status}" + (f" ({meaning})" if meaning else ""))
    if pod.reason not in ("", "Error", "Completed"):
        parts.append(pod.reason)
    if pod.deleting:
        parts.append("the pod was deleted")
    message = "" if _numbers(pod.message) else pod.message.strip()
    return ": ".join(part for part in (", ".join(parts), message) if part)[:TEXT]


def _numbers(message: str) -> bool:
    """Whether a message is for us, not for people."""
    try:
        return isinstance(json.loads(message), dict)
    except ValueError:
        return False
