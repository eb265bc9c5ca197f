"""kill -9 of the operator at each kind of write, before the server saw it and after it took effect."""

from collections.abc import Callable, Iterator

import pytest

from .audit import Recorder
from .operator_process import Operator
from .proxy import Hold, Proxy
from .s3 import Bucket
from .sweep import Applied, a_sweep, outcome, recorded_once
from .up import Cluster

PARALLELISM = 2
KINDS = {  # verb, path, and which of them: in the middle of the sweep
    "journal segment": ("PUT", "/journal/", 3),
    "Service": ("POST", "/services", 1),
    "Job create": ("POST", "/jobs", 3),
    "Job delete": ("DELETE", "/jobs/", 2),
    "status": ("PATCH", "/status", 2),
}


@pytest.fixture
def store(s3: Bucket) -> Iterator[Proxy]:
    """A proxy before the S3 server, for the operator alone."""
    with Proxy(s3.endpoint) as running:
        yield running


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_loses_nothing_and_runs_nothing_twice(
    kind: str,
    before: bool,
    cluster: Cluster,
    namespace: str,
    operator: Callable[..., Operator],
    proxy: Proxy,
    store: Proxy,
    s3: Bucket,
    recorder: Recorder,
) -> None:
    flags = ["--store-url", s3.url, "--store-endpoint", store.url, "--store-region", s3.region]
    running = operator(server=proxy.url, flags=flags).start()
    verb, path, nth = KINDS[kind]
    rule = (store if kind == "journal segment" else proxy).rule(verb, path, Hold(before), nth)

    sweep = Applied.apply(cluster, namespace, a_sweep(trial={"nodes": 2}, parallelism=PARALLELISM))
    rule.await_fired(60)
    running.kill()
    rule.drop()
    running.start()
    status = sweep.await_end()

    facts = sweep.facts(s3)
    assert status["phase"] == "Succeeded"
    assert recorded_once(facts)
    assert [(parameters, end) for _, _, parameters, _, end, _ in outcome(facts)] == [
        (f'{{"x": {x}}}', "Done") for x in range(1, 7)
    ]
    assert recorder.most_jobs(sweep.name) <= PARALLELISM
    assert all(len(uids) == 1 for uids in recorder.created.values())
    assert status["best"][0]["parameters"] == {"x": 3}
