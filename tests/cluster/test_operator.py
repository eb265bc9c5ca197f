"""The operator as a process: it starts, stops, gives way, and survives what happens around it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hypersweep import contract
from hypersweep.journal import Ended, Launched, Stopped

from .audit import Recorder
from .operator_process import Operator
from .proxy import Answer, Expire, Lose, Proxy
from .s3 import Bucket
from .sweep import Applied, a_sweep, await_that, outcome, recorded_once
from .up import Cluster

Operators = Callable[..., Operator]
SLOW = "import signal\n" + "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n" + "signal.pause()\n"


def stored(s3: Bucket) -> list[str]:
    return ["--store-url", s3.url, "--store-endpoint", s3.endpoint, "--store-region", s3.region]


def running(sweep: Applied, count: int) -> Callable[[], bool]:
    def reached() -> bool:
        ready = [job.get("status", {}).get("ready") == 1 for job in sweep.jobs()]
        return sum(ready) == count

    return reached


def condition(sweep: Applied, kind: str) -> dict[str, Any]:
    found = [one for one in sweep.status.get("conditions", ()) if one["type"] == kind]
    return found[0] if found else {}


def events(cluster: Cluster, namespace: str, name: str) -> list[str]:
    listed = json.loads(cluster.kubectl("get", "-n", namespace, "events", "-o", "json"))["items"]
    return [event["reason"] for event in listed if event["involvedObject"]["name"] == name]


def test_it_stops_within_its_pods_grace_and_the_next_one_goes_on_at_once(
    cluster: Cluster, namespace: str, operator: Operators, s3: Bucket
) -> None:
    first = operator(flags=[*stored(s3), "--identity", "first"]).start()
    sweep = Applied.apply(cluster, namespace, a_sweep(points=30, strategy={"grid": {"points": 30}}))
    await_that(lambda: sweep.status.get("trials", {}).get("done", 0) >= 3, "three trials are done")
    assert first.stop() == 0

    operator(flags=[*stored(s3), "--identity", "second"]).start()
    sweep.await_end()

    assert recorded_once(sweep.facts(s3))


def test_a_second_one_waits_until_the_first_is_gone(
    cluster: Cluster, namespace: str, operator: Operators, recorder: Recorder
) -> None:
    first = operator(flags=["--identity", "first"]).start()
    second = operator(flags=["--identity", "second"]).start(wait=False)
    sweep = Applied.apply(cluster, namespace, a_sweep())
    sweep.await_end()
    await_that(lambda: second.status("healthz") == 200, "the second one lives")
    assert second.status("readyz") == 503

    first.stop()
    second.await_ready()

    assert all(len(uids) == 1 for uids in recorder.created.values())


def test_it_ends_when_it_loses_the_lease(operator: Operators, proxy: Proxy) -> None:
    leader = operator(server=proxy.url).start()
    proxy.rule("PUT", "/leases/", Answer(503), nth=None)

    assert leader.await_exit(40) == 1


def test_it_ends_when_there_is_no_definition(cluster: Cluster, operator: Operators, proxy: Proxy) -> None:
    proxy.rule("GET", f"/apis/{contract.GROUP}/", Answer(404), nth=None)
    starting = operator(server=proxy.url).start(wait=False)

    assert starting.await_exit(90) == 1
    assert "is the CustomResourceDefinition installed?" in starting.log()


def test_it_ends_when_the_definition_vanishes(operator: Operators, proxy: Proxy) -> None:
    leader = operator(server=proxy.url).start()
    for verb in ("GET", "WATCH"):
        proxy.rule(verb, "/hypersweeps", Answer(404), nth=None)
    proxy.close_watches()

    assert leader.await_exit(60) == 1
    assert "kopf ended" in leader.log()


@pytest.mark.parametrize("trouble", ["closed", "expired"])
def test_broken_watches_lose_nothing(
    trouble: str, cluster: Cluster, namespace: str, operator: Operators, proxy: Proxy, s3: Bucket
) -> None:
    operator(server=proxy.url, flags=stored(s3)).start()
    sweep = Applied.apply(cluster, namespace, a_sweep(points=12, strategy={"grid": {"points": 12}}))
    for done in (2, 5, 8):
        await_that(lambda done=done: sweep.status.get("trials", {}).get("done", 0) >= done, f"{done} done")
        if trouble == "expired":
            proxy.rule("WATCH", "/jobs", Expire())
        proxy.close_watches()
    sweep.await_end()

    facts = sweep.facts(s3)
    assert recorded_once(facts)
    assert 12 == len(outcome(facts))


def test_answers_that_are_lost_and_errors_give_no_second_trial(
    cluster: Cluster, namespace: str, operator: Operators, proxy: Proxy, s3: Bucket, recorder: Recorder
) -> None:
    operator(server=proxy.url, flags=stored(s3)).start()
    for verb, path in (("POST", "/jobs"), ("DELETE", "/jobs/"), ("PATCH", "/status")):
        proxy.rule(verb, path, Lose(), nth=2)
        proxy.rule(verb, path, Answer(500), nth=4)
        proxy.rule(verb, path, Answer(429, retry_after=1), nth=5)
    sweep = Applied.apply(cluster, namespace, a_sweep(points=8))
    sweep.await_end()

    assert recorded_once(sweep.facts(s3))
    assert all(len(uids) == 1 for uids in recorder.created.values())
    assert recorder.most_jobs(sweep.name) <= 2


def test_a_sweep_applied_again_under_its_name_starts_clean(
    cluster: Cluster, namespace: str, operator: Operators, s3: Bucket
) -> None:
    operator(flags=stored(s3)).start()
    manifest = a_sweep(script="import time\ntime.sleep(1)\n" + a_script(), points=4, trial={"nodes": 2})
    old = Applied.apply(cluster, namespace, manifest)
    await_that(lambda: old.jobs(), "the old one runs")
    cluster.kubectl("delete", "-n", namespace, contract.PLURAL, old.name, "--wait=false")
    await_that(lambda: cluster.api.find(old.path) is None, "it is deleted")
    new = Applied.apply(cluster, namespace, manifest)
    new.await_end()

    facts = new.facts(s3)
    assert old.uid != new.uid
    assert [*range(4)] == sorted(fact.trial for fact in facts if isinstance(fact, Launched))
    assert recorded_once(facts)
    await_that(lambda: not old.remains(), "nothing is left of the old one")


def test_a_deleted_sweep_leaves_nothing(cluster: Cluster, namespace: str, operator: Operators) -> None:
    running_operator = operator().start()
    sweep = Applied.apply(cluster, namespace, a_sweep(script=SLOW, trial={"nodes": 2}))
    await_that(lambda: sweep.jobs(), "it runs")
    sweep.delete()

    await_that(lambda: not sweep.remains(), "nothing is left")
    await_that(lambda: f'sweep="{sweep.name}"' not in running_operator.metrics(), "nor a series")


def test_a_suspended_sweep_stops_what_runs_uncharged_and_goes_on(
    cluster: Cluster, namespace: str, operator: Operators, s3: Bucket, tmp_path: Path
) -> None:
    operator(flags=stored(s3)).start()
    go = tmp_path / "go"
    script = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)\n" + a_script()
    sweep = Applied.apply(cluster, namespace, a_sweep(script=script, points=3))
    await_that(running(sweep, 1), "trial 0 runs")
    sweep.patch(suspend=True)
    await_that(lambda: sweep.status.get("phase") == "Suspended", "it is suspended")
    assert not [pod for pod in sweep.pods() if "deletionTimestamp" not in pod["metadata"]]
    go.touch()
    sweep.patch(suspend=False)
    status = sweep.await_end()

    facts = sweep.facts(s3)
    assert ("Succeeded", {"Suspended": 1}) == (status["phase"], status["restarts"])
    assert [(0, 0, "Suspended")] == [
        (fact.trial, fact.attempt, fact.reason) for fact in facts if isinstance(fact, Stopped)
    ]
    assert 3 == len([fact for fact in facts if isinstance(fact, Ended) and fact.final])


def test_a_job_that_somebody_deletes_is_started_again(
    cluster: Cluster, namespace: str, operator: Operators, s3: Bucket, tmp_path: Path
) -> None:
    operator(flags=stored(s3)).start()
    go = tmp_path / "go"
    script = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)\n" + a_script()
    sweep = Applied.apply(cluster, namespace, a_sweep(script=script, points=2))
    await_that(running(sweep, 1), "trial 0 runs")
    first = sweep.jobs()[0]["metadata"]["uid"]
    cluster.kubectl("delete", "-n", namespace, "job", f"{sweep.name}-0-0")
    await_that(lambda: [job for job in sweep.jobs() if job["metadata"]["uid"] != first], "another Job")
    go.touch()
    sweep.await_end()

    assert recorded_once(sweep.facts(s3))


def test_a_failing_trial_is_told_and_its_job_is_kept(
    cluster: Cluster, namespace: str, operator: Operators
) -> None:
    operator().start()
    fails = "import json, os, sys\nx = json.loads(os.environ['HYPERSWEEP_PARAMETERS'])['x']\n"
    fails += "if x == 2: sys.exit(78)\n"
    sweep = Applied.apply(cluster, namespace, a_sweep(script=fails + a_script(), points=3))
    status = sweep.await_end()

    assert ("1", 1) == (status["failedTrials"], status["trials"]["failed"])
    assert [f"{sweep.name}-1-0"] == [job["metadata"]["name"] for job in sweep.jobs()]
    await_that(lambda: "TrialFailed" in events(cluster, namespace, sweep.name), "an Event tells")


def test_a_sweep_whose_trials_all_refuse_their_configuration_has_failed_with_their_sentence(
    cluster: Cluster, namespace: str, operator: Operators
) -> None:
    operator().start()
    told = "model: must be one of mlp, conv"
    log = f"open(os.environ['HYPERSWEEP_TERMINATION_LOG'], 'w').write({told!r})"
    sweep = Applied.apply(cluster, namespace, a_sweep(script=f"import os\n{log}\nos._exit(78)", points=2))
    status = sweep.await_end()

    assert ("Failed", "NoResult") == (status["phase"], status["reason"])
    assert "no trial came to a result: InvalidConfig: " in status["message"]
    assert told in status["message"]
    assert ["True", status["message"]] == next(
        [condition["status"], condition["message"]]
        for condition in status["conditions"]
        if condition["type"] == "Failed"
    )
    await_that(lambda: "Failed" in events(cluster, namespace, sweep.name), "an Event tells")


def test_a_quota_is_told_and_waited_for(cluster: Cluster, namespace: str, operator: Operators) -> None:
    operator().start()
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}}
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    cluster.api.create(path, quota | {"spec": {"hard": {"count/jobs.batch": "0"}}})
    await_that(lambda: cluster.api.get(f"{path}/few").get("status", {}).get("hard"), "the quota holds")
    sweep = Applied.apply(cluster, namespace, a_sweep(points=2))
    await_that(lambda: "exceeded quota" in condition(sweep, "Launching").get("message", ""), "it is told")
    cluster.kubectl("delete", "-n", namespace, "resourcequota", "few")

    assert "Succeeded" == sweep.await_end()["phase"]


def test_a_store_that_is_away_is_told_and_nothing_is_launched_meanwhile(
    cluster: Cluster, namespace: str, operator: Operators, s3: Bucket, store: Proxy
) -> None:
    flags = ["--store-url", s3.url, "--store-endpoint", store.url, "--store-region", s3.region]
    away = store.rule("GET", ".*", Answer(503), nth=None)
    leader = operator(flags=flags).start()
    sweep = Applied.apply(cluster, namespace, a_sweep(points=2))
    await_that(lambda: condition(sweep, "StoreAvailable").get("status") == "False", "it is told")
    assert (200, 200, []) == (leader.status("healthz"), leader.status("readyz"), sweep.jobs())
    assert away.seen > 0
    store.clear()
    sweep.await_end()

    assert "True" == condition(sweep, "StoreAvailable")["status"]


def test_a_store_outside_of_what_is_allowed_is_refused(
    cluster: Cluster, namespace: str, operator: Operators, s3: Bucket
) -> None:
    operator(flags=[*stored(s3), "--allowed-prefix", "s3://teams/{namespace}"]).start()
    manifest = a_sweep(store={"url": f"s3://teams/{namespace}-not/x"})
    sweep = Applied.apply(cluster, namespace, manifest)
    found = await_that(lambda: condition(sweep, "StoreAvailable"), "it is told")

    assert ("False", "NotAllowed") == (found["status"], found["reason"])
    assert f"s3://teams/{namespace}" in found["message"]


@pytest.fixture
def store(s3: Bucket) -> Iterator[Proxy]:
    """A proxy before the S3 server, for the operator alone."""
    with Proxy(s3.endpoint) as running_proxy:
        yield running_proxy


def a_script() -> str:
    """What a trial of `a_sweep` does by default."""
    command = a_sweep()["spec"]["trial"]["podTemplate"]["spec"]["containers"][0]["command"]
    return str(command[-1])
