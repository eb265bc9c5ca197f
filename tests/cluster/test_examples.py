"""Each example, applied to a real control plane: it succeeds, everything is stored, and nothing is left."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hypersweep import contract
from hypersweep.journal import Decided, Ended, Fact, Opened
from hypersweep.trial import End

from .audit import Recorder
from .operator_process import Operator
from .s3 import Bucket
from .sweep import Applied, await_that, outcome, recorded_once
from .up import Cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
Series = dict[tuple[str, ...], float]


def flags(s3: Bucket) -> list[str]:
    return [
        *("--store-url", s3.url, "--store-endpoint", s3.endpoint),
        *("--store-region", s3.region, "--store-secret", s3.secret, "--trainer-image", "trainer"),
    ]


def series(text: str, name: str, *labels: str) -> Series:
    """The samples of one metric, by the labels asked for."""
    return {
        tuple(sample.labels.get(label, "") for label in labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def check_store(sweep: Applied, s3: Bucket) -> None:
    """Every attempt that is recorded as done left its result and its metrics below its own prefix."""
    prefix = f"sweeps/{contract.sweep_prefix(sweep.namespace, sweep.name, sweep.uid)}"
    keys = set(s3.keys(prefix))
    for fact in sweep.facts(s3):
        if isinstance(fact, Ended) and fact.end is End.DONE:
            attempt = f"{prefix}/{contract.attempt_prefix(fact.trial, fact.attempt)}"
            result = json.loads(s3.read(f"{attempt}/{contract.RESULT}"))
            assert {name: entry["value"] for name, entry in result["metrics"].items()} == fact.metrics
            assert f"{attempt}/{contract.metrics_key(1)}" in keys


def check_journal(facts: list[Fact], status: dict[str, Any]) -> None:
    """The status counts what the journal holds, and its best is the best of it."""
    ends = Counter(fact.end for fact in facts if isinstance(fact, Ended) and fact.final)
    assert {end.lower(): ends[end] for end in (End.DONE, End.INFEASIBLE)} == {
        name: status["trials"][name] for name in ("done", "infeasible")
    }
    best = status["best"][0]
    metrics = {fact.trial: fact.metrics for fact in facts if isinstance(fact, Ended) and fact.final}
    (metric,) = {name for fact in facts if isinstance(fact, Opened) for name in objectives(fact)}
    assert best["value"] == fmean(metrics[trial][metric] for trial in best["trials"])


def objectives(opened: Opened) -> list[str]:
    return [objective["metric"] for objective in opened.spec["objectives"]]


def check_metrics(sweep: Applied, text: str, status: dict[str, Any]) -> None:
    """/metrics and status say the same."""
    trials = status["trials"]
    finished = series(text, "hypersweep_trials_finished_total", "sweep", "result")
    for result in ("done", "failed", "infeasible"):
        assert finished[sweep.name, result.title()] == trials[result]
    best = series(text, "hypersweep_best_objective", "sweep")
    assert best[(sweep.name,)] == status["best"][0]["value"]
    assert series(text, "hypersweep_trial_step", "sweep", "trial") == {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", ["breast-cancer", "ddp", "diabetes", "digits"])
def test_an_example_succeeds_with_everything_in_the_store_and_leaves_nothing(
    example: str,
    cluster: Cluster,
    namespace: str,
    operator: Callable[..., Operator],
    s3: Bucket,
    recorder: Recorder,
) -> None:
    running = operator(flags=flags(s3)).start()
    sweep = Applied.apply(cluster, namespace, (EXAMPLES / f"{example}.yaml").read_text())

    status = sweep.await_end(500)

    facts = sweep.facts(s3)
    assert status["phase"] == "Succeeded"
    assert recorded_once(facts)
    assert len(outcome(facts)) == sum(status["trials"][name] for name in ("done", "failed", "infeasible"))
    assert status["trials"]["failed"] == 0
    check_store(sweep, s3)
    check_journal(facts, status)
    check_metrics(sweep, running.metrics(), status)
    if example == "ddp":
        assert recorder.most_jobs(sweep.name) == 2
        assert recorder.most_pods(sweep.name) == 4
    if example == "digits":
        assert len([fact for fact in facts if isinstance(fact, Decided)]) >= 3
    sweep.delete()
    await_that(lambda: not sweep.remains(), f"nothing is left of {example}: {sweep.remains()}")
    await_that(lambda: sweep.name not in running.metrics(), "its series are gone")


@pytest.mark.parametrize(
    ("example", "trials", "best"),
    [("own-container", 20, {"x": 1, "z": 2}), ("own-script", 12, {"lr": 0.03, "momentum": 0.9})],
)
def test_a_container_of_ones_own_needs_nothing_but_the_operator(
    example: str,
    trials: int,
    best: dict[str, float],
    cluster: Cluster,
    namespace: str,
    operator: Callable[..., Operator],
) -> None:
    running = operator(flags=["--trainer-image", "trainer"]).start()
    sweep = Applied.apply(cluster, namespace, (EXAMPLES / f"{example}.yaml").read_text())

    status = sweep.await_end(120)

    conditions = {condition["type"]: condition for condition in status["conditions"]}
    assert status["phase"] == "Succeeded"
    assert status["progress"] == f"{trials}/{trials}"
    assert status["best"][0]["parameters"] == pytest.approx(best, rel=1e-4)
    assert conditions["Durable"]["status"] == "False"
    check_metrics(sweep, running.metrics(), status)
    sweep.delete()
    await_that(lambda: not sweep.remains(), f"nothing is left: {sweep.remains()}")
