"""A trial whose pod is killed in mid-training goes on from its checkpoint, as if nothing had happened."""

import json
from collections.abc import Callable
from typing import Any

from hypersweep import contract
from hypersweep.journal import Ended
from hypersweep.trial import End

from .operator_process import Operator
from .s3 import Bucket
from .sweep import Applied, await_that
from .up import Cluster


def a_training(name: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{contract.GROUP}/{contract.VERSION}",
        "kind": contract.KIND,
        "metadata": {"name": name},
        "spec": {
            "objectives": [{"metric": "val_loss", "goal": "minimize"}],
            "parameters": [{"name": "lr", "choice": [0.003]}],
            "strategy": {"grid": {}},
            "trainer": {"data": "digits", "model": "cnn", "epochs": 12, "checkpoint_seconds": 0},
        },
    }


def keys(sweep: Applied, s3: Bucket, attempt: int, kind: str) -> list[str]:
    place = contract.sweep_prefix(sweep.namespace, sweep.name, sweep.uid)
    return s3.keys(f"sweeps/{place}/{contract.attempt_prefix(0, attempt)}/{kind}/")


def rows(sweep: Applied, s3: Bucket, attempt: int) -> list[dict[str, Any]]:
    chunks = [s3.read(key) for key in keys(sweep, s3, attempt, contract.METRICS)]
    return [json.loads(line) for chunk in chunks for line in chunk.splitlines()]


def saved(sweep: Applied, s3: Bucket) -> list[str]:
    """Checkpoints of the first attempt that are whole: those with a manifest."""
    return [key for key in keys(sweep, s3, 0, contract.CHECKPOINTS) if key.endswith(".json")]


def test_a_killed_trial_repeats_no_step_before_its_checkpoint_and_ends_as_an_undisturbed_one(
    cluster: Cluster, namespace: str, operator: Callable[..., Operator], s3: Bucket
) -> None:
    flags = ["--store-url", s3.url, "--store-endpoint", s3.endpoint, "--store-region", s3.region]
    operator(flags=[*flags, "--store-secret", s3.secret, "--trainer-image", "trainer"]).start()
    killed = Applied.apply(cluster, namespace, a_training("killed"))

    await_that(lambda: len(saved(killed, s3)) >= 2, "two checkpoints are written", 120)
    (pod,) = killed.pods()
    cluster.node.kill(namespace, pod["metadata"]["name"])
    before = {json.loads(s3.read(key))["step"] for key in saved(killed, s3)}
    killed.await_end(120)
    calm = Applied.apply(cluster, namespace, a_training("calm"))
    calm.await_end(120)

    ends = [fact for fact in killed.facts(s3) if isinstance(fact, Ended)]
    (undisturbed,) = [fact for fact in calm.facts(s3) if isinstance(fact, Ended)]
    resumed = ends[-1].details["resumedFrom"]
    assert [fact.end for fact in ends] == [End.ERROR, End.DONE]
    assert resumed in before
    assert min(row["step"] for row in rows(killed, s3, 1)) > resumed
    assert ends[-1].metrics == undisturbed.metrics
