from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hypersweep import pods
from hypersweep.pods import Pod

from .jobs import a_pod

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def seen(*documents: dict[str, Any]) -> list[Pod]:
    return [pods.parse(document) for document in documents]


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return a_pod(containerStatuses=[{"name": "trial", "state": state}])


def unscheduled(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return a_pod(conditions=[condition])


@pytest.mark.parametrize(
    ("pod", "cause"),
    [
        (a_pod(status=0), ""),
        (a_pod(status=1, reason="Error"), "exit status 1"),
        (a_pod(status=1, reason="Error", message="no data\n"), "exit status 1: no data"),
        (a_pod(status=1, reason="Error", message='{"loss": 0.5}'), "exit status 1"),
        (a_pod(status=78, reason="Error"), "exit status 78 (bad configuration or store)"),
        (a_pod(status=137, reason="OOMKilled"), "exit status 137 (killed), OOMKilled"),
        (
            a_pod(status=143, leaves="2026-01-01T00:00:00Z"),
            "exit status 143 (terminated), the pod was deleted",
        ),
        (waiting("ImagePullBackOff", "no such image"), "ImagePullBackOff: no such image"),
        (waiting("ContainerCreating"), ""),
        (unscheduled("0/3 nodes are available"), "Unschedulable: 0/3 nodes are available"),
        (a_pod(reason="ignored"), ""),
    ],
)
def test_the_cause_is_what_a_person_would_look_for(pod: dict[str, Any], cause: str) -> None:
    assert cause == pods.cause(seen(pod))


def test_the_first_that_failed_speaks_for_its_group() -> None:
    first, second = a_pod(index=1, status=1, message="broke"), a_pod(index=0, status=143)
    second["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = "2026-01-01T00:00:09Z"

    assert "exit status 1: broke" == pods.cause(seen(second, first))


def test_an_init_container_that_fails_is_a_cause() -> None:
    ended = {"terminated": {"exitCode": 2, "reason": "Error", "message": "no dataset"}}
    starting = {"waiting": {"reason": "PodInitializing"}}
    pod = a_pod(
        containerStatuses=[{"name": "trial", "state": starting}],
        initContainerStatuses=[{"name": "fetch", "state": ended}],
    )

    assert "no dataset" in pods.cause(seen(pod))


def test_a_group_works_from_when_its_last_pod_started() -> None:
    first, second = a_pod(index=0, status=0), a_pod(index=1, status=0)
    second["status"]["containerStatuses"][0]["state"]["terminated"]["startedAt"] = "2026-01-01T00:00:07Z"

    assert NOW.replace(second=7) == pods.began(seen(first, second))


def test_a_pod_is_stuck_long_after_its_grace() -> None:
    found = seen(a_pod(leaves="2026-01-01T00:00:00Z"))

    assert pods.stuck(found, NOW + timedelta(minutes=4)) is None
    assert pods.stuck(found, NOW + timedelta(minutes=6)) is found[0]


@pytest.mark.parametrize(
    ("pod", "found"),
    [
        (a_pod(status=0, message='{"loss": 0.5}'), True),
        (a_pod(status=0, message="done"), False),
        (a_pod(status=0), False),
        (a_pod(status=1, message='{"loss": 0.5}'), False),
        (a_pod(index=1, status=0, message='{"loss": 0.5}'), False),
    ],
)
def test_only_numbers_of_a_first_pod_that_succeeded_are_a_result(pod: dict[str, Any], found: bool) -> None:
    assert found == (pods.result(seen(pod)) is not None)


def test_a_sidecar_does_not_count() -> None:
    pod = a_pod(status=0)
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    pod["status"]["containerStatuses"].append({"name": "proxy", "state": ended})

    assert "" == pods.cause(seen(pod))
