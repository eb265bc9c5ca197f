"""What a Job's end says."""

from typing import Any

import pytest

from hypersweep.job import exit_of
from hypersweep.runner import Exit
from tests.rendering import a_job


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
