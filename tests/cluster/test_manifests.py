"""The CRD on a real API server: what it accepts, what it refuses, and the same words everywhere."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from hypersweep.contract import PLURAL
from hypersweep.crd import STAYS, UPWARDS
from tests.wrong import WRONG, Wrong

from .operator_process import Operator
from .sweep import await_that
from .up import Cluster

REFUSED = [wrong for wrong in WRONG if wrong.refused]
ACCEPTED = [wrong for wrong in WRONG if not wrong.refused]


def a_sweep(sections: str = "", name: str = "sound") -> dict[str, Any]:
    return Wrong("", sections, (), metadata=f"{{name: {name}}}").manifest


def refusal(cluster: Cluster, *words: str, stdin: dict[str, Any] | None = None) -> str:
    """What kubectl says of something that must be refused."""
    with pytest.raises(AssertionError) as refused:
        cluster.kubectl(*words, stdin=stdin)
    return str(refused.value)


@pytest.mark.parametrize("wrong", REFUSED, ids=lambda wrong: wrong.name)
def test_the_api_server_refuses_a_wrong_manifest(
    cluster: Cluster, crd: None, namespace: str, wrong: Wrong
) -> None:
    said = refusal(cluster, "create", "-n", namespace, "-f", "-", stdin=wrong.manifest)

    assert wrong.refused in said


def test_the_operator_says_of_the_rest_what_is_wrong_with_it(
    cluster: Cluster, namespace: str, operator: Callable[..., Operator]
) -> None:
    operator().start()
    names = {wrong.name: f"wrong-{index}" for index, wrong in enumerate(ACCEPTED)}
    for wrong in ACCEPTED:
        manifest = wrong.manifest
        manifest["metadata"]["name"] = names[wrong.name]
        cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=manifest)

    def condition(name: str) -> dict[str, Any] | None:
        found = json.loads(cluster.kubectl("get", "-n", namespace, PLURAL, name, "-o", "json"))
        conditions = found.get("status", {}).get("conditions", ())
        return next((c for c in conditions if c["type"] == "SpecValid"), None)

    def events(name: str) -> list[str]:
        listed = json.loads(cluster.kubectl("get", "-n", namespace, "events", "-o", "json"))["items"]
        return [event["message"] for event in listed if event["involvedObject"]["name"] == name]

    for wrong in ACCEPTED:
        name, words = names[wrong.name], "\n".join(wrong.problems)
        found = await_that(lambda name=name: condition(name), f"a condition of {wrong.name}")
        assert (found["status"], found["message"]) == ("False", words)
        assert found["observedGeneration"] == 1
        await_that(lambda name=name, words=words: words in events(name), f"an Event of {wrong.name}")


def test_search_fields_are_immutable_and_live_ones_are_not(
    cluster: Cluster, crd: None, namespace: str
) -> None:
    manifest = a_sweep("{parallelism: 4, trial: {image: ours}, store: {url: 's3://sweeps'}}")
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=manifest)

    def patch(kind: str, change: Any) -> tuple[str, ...]:
        return ("patch", "-n", namespace, PLURAL, "sound", f"--type={kind}", "-p", json.dumps(change))

    for field, value in (
        ("seeds", 2),
        ("seed", 1),
        ("trainer", {"epochs": 2}),
        ("store", {"url": "s3://other"}),
        ("store", None),
        ("strategy", {"grid": {"points": 4}}),
        ("objectives", [{"metric": "val_loss", "goal": "minimize"}]),
    ):
        said = refusal(cluster, *patch("merge", {"spec": {field: value}}))
        assert f"spec.{field}: Invalid value: {STAYS}" in said
    said = refusal(cluster, *patch("merge", {"spec": {"trial": {"image": "another"}}}))
    assert f"spec.trial.image: Invalid value: {STAYS}" in said
    step = {"op": "replace", "path": "/spec/parameters/0/float/max", "value": 0.2}
    assert f"spec.parameters: Invalid value: {STAYS}" in refusal(cluster, *patch("json", [step]))
    said = refusal(cluster, *patch("merge", {"spec": {"maxTrials": 8}}))
    assert f"spec.maxTrials: Invalid value: {UPWARDS}" in said

    live = {
        "maxTrials": 20,
        "budget": {"gpuHours": 2, "wallClock": "1h"},
        "retries": {"errors": 3},
        "maxFailedTrials": 1,
        "suspend": True,
        "trial": {"timeout": "1h", "resources": {"limits": {"nvidia.com/gpu": 1}}},
    }
    cluster.kubectl(*patch("merge", {"spec": live}))


def test_parameters_in_another_order_are_the_same_sweep(cluster: Cluster, crd: None, namespace: str) -> None:
    manifest = a_sweep()
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)
    manifest["spec"]["parameters"].reverse()

    assert "configured" in cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)


def test_values_of_any_kind_survive_and_stay(cluster: Cluster, crd: None, namespace: str) -> None:
    choice = ["sgd", 1, 1.5, True, [1, [2, "a"]]]
    manifest = a_sweep("{trial: {podTemplate: {spec: {containers: [{name: trial, command: [train]}]}}}}")
    manifest["spec"]["parameters"] = [{"name": "any", "choice": choice, "start": [1, [2, "a"]]}]
    del manifest["spec"]["trainer"]
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=manifest)
    found = json.loads(cluster.kubectl("get", "-n", namespace, "hs", "sound", "-o", "json"))

    assert found["spec"]["parameters"][0]["choice"] == choice
    step = {"op": "replace", "path": "/spec/parameters/0/choice/4/1/0", "value": 3}
    words = ("patch", "-n", namespace, "hs", "sound", "--type=json", "-p", json.dumps([step]))
    assert f"spec.parameters: Invalid value: {STAYS}" in refusal(cluster, *words)


def test_scaling_sets_the_parallelism(cluster: Cluster, crd: None, namespace: str) -> None:
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=a_sweep())
    cluster.kubectl("scale", "-n", namespace, "sweep", "sound", "--replicas=7")

    assert cluster.kubectl("get", "-n", namespace, "hs", "sound", "-o", "jsonpath={.spec.parallelism}") == "7"
    header = cluster.kubectl("get", "-n", namespace, "hs").splitlines()[0].split()
    assert header == ["NAME", "STRATEGY", "PHASE", "DONE/TOTAL", "RUNNING", "FAILED", "BEST", "AGE"]


def test_the_largest_sweep_that_the_schema_allows_is_checked_within_budget(
    cluster: Cluster, crd: None, namespace: str
) -> None:
    manifest = a_sweep("{trial: {podTemplate: {spec: {containers: [{name: trial, command: [train]}]}}}}")
    names = [f"{'p' * 55}{index:03}" for index in range(100)]
    manifest["spec"]["parameters"] = [{"name": name, "int": {"min": 0, "max": 9}} for name in names]
    stage = {"parameters": names[:50], "retune": names[50:], "search": {"random": {}}}
    manifest["spec"]["strategy"] = {"iterative": {"stages": [stage] * 30}}
    del manifest["spec"]["trainer"], manifest["spec"]["maxTrials"]

    assert "created" in cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=manifest)
