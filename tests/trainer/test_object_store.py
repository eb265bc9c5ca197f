"""A trial whose store is a bucket: the same files, the same resume, and refusals that name what must hold."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.s3 import endpoint, s3
from tests.trainer.runs import an_environment, message, stop_after, train

__all__ = ["endpoint", "s3"]

PREFIX = "team/default/digits-1/trials/00003/attempts"


def a_trial(root: Path, url: str, attempt: int = 0) -> dict[str, str]:
    more = {"HYPERSWEEP_STORE": f"s3://sweeps/{PREFIX}/{attempt}", "HYPERSWEEP_STORE_ENDPOINT": url}
    return {**an_environment(root, attempt=attempt), **more}


def read(client: Any, key: str) -> Any:
    return json.loads(client.get_object(Bucket="sweeps", Key=f"{PREFIX}/{key}")["Body"].read())


def test_a_trial_stores_its_results_in_a_bucket_and_goes_on_from_there(
    tmp_path: Path, s3: Any, endpoint: str
) -> None:
    assert 75 == train(a_trial(tmp_path, endpoint), stop_after(12))
    assert 0 == train(a_trial(tmp_path, endpoint, attempt=1))

    result = read(s3, "1/result.json")
    assert ("done", 12, 27) == (result["status"], result["resumedFrom"], result["steps"])
    listed = s3.list_objects_v2(Bucket="sweeps")["Contents"]
    assert {
        "checkpoints", "environment.json", "log.txt", "metrics", "model", "probe", 
        "progress.json", "result.json"
    } == {entry["Key"].removeprefix(f"{PREFIX}/").split("/")[1] for entry in listed}  # fmt: skip


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_does_not_exist_is_told_before_anything_is_computed(
    tmp_path: Path, endpoint: str
) -> None:
    environment = a_trial(tmp_path, endpoint)
    environment["HYPERSWEEP_STORE"] = "s3://elsewhere/attempts/0"

    assert 78 == train(environment)
    assert "the bucket must exist" in message(tmp_path)
