"""What the operator costs: `python -m benchmarks.cluster`.

On a control plane of its own, with simulated nodes and an S3 server beside it. Sweeps of trials that take
a second take turns with a bare loop that creates, sees ending and deletes the same Jobs, whose pods write
the same results; so a slow moment hits both. No figure makes it fail.
"""

import argparse
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

import yaml
from tests.cluster import s3
from tests.cluster.api import APPLY, Object
from tests.cluster.audit import mutations
from tests.cluster.build import KUBERNETES
from tests.cluster.operator_process import ROOT, Operator
from tests.cluster.sweep import TERMINAL, Applied
from tests.cluster.up import Cluster, cluster

from benchmarks.bare import THREADS, Loop
from benchmarks.nodes import DURATION, LABEL, VALUE, simulated
from benchmarks.usage import cpu, memory
from hypersweep import api, contract, job
from hypersweep.journal import Launched, Opened
from hypersweep.runner import Order
from hypersweep.trial import Suggestion

BESIDE = {"hypersweeps/status": "status", "events": "Events", "leases": "Lease"}
REQUESTS, RATIO = 2, 1.3  # to reach
CRD = ROOT / "crds" / "hypersweep.yaml"


@dataclass(frozen=True)
class World:
    """Everything that the figures are taken on."""

    cluster: Cluster
    namespace: str
    bucket: s3.Bucket
    operator: Operator

    @property
    def jobs(self) -> str:
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"


@contextmanager
def world() -> Iterator[World]:
    """A control plane, simulated nodes, S3 and an operator that has nothing to do yet."""
    with ExitStack() as stack:
        up = stack.enter_context(cluster())
        document = yaml.safe_load(CRD.read_text())
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{document['metadata']['name']}"
        up.api.patch(path, document, APPLY, fieldManager="benchmark", force="true")
        up.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRD))
        endpoint = stack.enter_context(s3.server(up.plane.folder, up.processes))
        namespace = stack.enter_context(up.namespace())
        bucket = s3.Bucket(endpoint, namespace)
        bucket.client().create_bucket(Bucket=bucket.name)
        stack.enter_context(simulated(up, endpoint))
        store = ("--store-url", bucket.url, "--store-endpoint", endpoint, "--store-region", s3.REGION)
        operator = Operator(up.plane, up.processes, namespace, flags=store)
        stack.callback(operator.close)
        yield World(up, namespace, bucket, operator.start())


def manifest(name: str, trials: int, parallelism: int) -> Object:
    """A random search whose trials are simulated."""
    container = {"name": contract.CONTAINER, "command": ["simulated"]}
    pod = {"nodeSelector": {LABEL: VALUE}, "containers": [container]}
    return {
        "apiVersion": f"{contract.GROUP}/{contract.VERSION}",
        "kind": contract.KIND,
        "metadata": {"name": name},
        "spec": {
            "objectives": [{"metric": "loss", "goal": "minimize"}],
            "parameters": [{"name": "lr", "float": {"min": 1e-4, "max": 1, "scale": "log"}}],
            "strategy": {"random": {}},
            "maxTrials": trials,
            "parallelism": parallelism,
            "trial": {"image": "simulated", "podTemplate": {"spec": pod}},
        },
    }


@dataclass(frozen=True)
class Run:
    """One run of so many trials, as a sweep or without an operator."""

    seconds: float
    cpu: Mapping[str, float]  # milliseconds per trial, by process
    alone: float = 0.0  # seconds of a sweep in which only trial 0 ran: the others wait for it
    memory: float = 0.0  # MiB of the operator, once the sweep has succeeded


def swept(at: World, name: str, trials: int, parallelism: int) -> Run:
    """From the creation of a HyperSweep until it has succeeded and no Job is left."""
    before, began = cpu(), time.monotonic()
    sweep = Applied.apply(at.cluster, at.namespace, manifest(name, trials, parallelism))
    status = _await_end(at, sweep)
    resident = memory(at.operator.pid)
    _await_empty(at)
    seconds = time.monotonic() - began
    used = _per_trial(cpu() - before, trials)
    if status["trials"]["done"] != trials:
        print(f"{name}: not every trial is done: {status['trials']}")
    facts = sweep.facts(at.bucket)
    opened = next(fact.at for fact in facts if isinstance(fact, Opened))
    others = min((fact.at for fact in facts if isinstance(fact, Launched) and fact.trial), default=opened)
    _await_quiet(at)
    return Run(seconds, used, (others - opened).total_seconds(), resident)


def bare(at: World, name: str, trials: int, parallelism: int) -> Run:
    """The same Jobs by a loop: from the first creation until no Job is left."""
    spec = api.HyperSweep.model_validate(manifest(name, trials, parallelism)).spec
    url, selector = f"{at.bucket.url}/{name}", f"{contract.LABEL_SWEEP}={name}"
    bodies = []
    for number in range(trials):
        order = Order(number, 0, Suggestion({"lr": 10 ** (-4 * number / trials)}, seed=number))
        where = {"store_url": url, "endpoint": at.bucket.endpoint, "region": s3.REGION}
        body = job.render(spec, name, at.namespace, name, order, image="simulated", **where)
        del body["metadata"]["ownerReferences"]  # there is no such sweep
        del body["metadata"]["labels"][contract.LABEL_MANAGED_BY]  # the operator sees nothing of it
        bodies.append(body)
    before, began = cpu(), time.monotonic()
    Loop(at.cluster.api, at.namespace, bodies, selector).run(parallelism)
    _await_empty(at)
    seconds = time.monotonic() - began
    used = _per_trial(cpu() - before, trials)
    _await_quiet(at)
    return Run(seconds, used)


def _await_end(at: World, sweep: Applied) -> Object:
    """Its last status, from a watch: reading it again and again would be a load of its own."""
    folder = sweep.path.rpartition("/")[0]
    only = {"fieldSelector": f"metadata.name={sweep.name}"}
    for _, seen in at.cluster.api.watch(folder, threading.Event(), **only):
        status: Object = seen.get("status", {})
        if status.get("phase") in TERMINAL:
            return status
    raise AssertionError("a watch never ends")


def _per_trial(used: Counter[str], trials: int) -> dict[str, float]:
    return {name: milliseconds / trials for name, milliseconds in used.most_common()}


def _await_empty(at: World) -> None:
    """Return when the last Job is gone, which its deletion in the background is at once."""
    while at.cluster.api.list(at.jobs, limit=1):
        threading.Event().wait(0.05)


def _await_quiet(at: World) -> None:
    """Let the garbage collector finish: the next run must not pay for this one's pods."""
    while at.cluster.api.list(f"/api/v1/namespaces/{at.namespace}/pods", limit=1):
        threading.Event().wait(0.2)


def requests(at: World, trials: int) -> None:
    """The figure of the first sweep, while the audit log holds nothing else."""
    of_trials: Counter[str] = Counter()
    beside: Counter[str] = Counter()
    for (verb, resource), count in mutations(at.cluster.plane.audit_log, user=at.operator.user).items():
        if resource in BESIDE:
            beside[BESIDE[resource]] += count
        else:
            of_trials[f"{verb} {resource}"] += count
    print(f"beside the requests for {trials} trials ({_listed(of_trials)}) came: {_listed(beside)}")
    each = sum(of_trials.values()) / trials
    print(f"mutating API requests per single-node trial: {each:.2f}, to reach: {REQUESTS}", flush=True)


def _listed(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {count:.4g}" for name, count in counts.items())


def rounds(at: World, count: int, trials: int, parallelism: int) -> None:
    """The operator beside the bare loop, in turns."""
    ours, theirs = [], []
    for number in range(count):
        ours.append(swept(at, f"sweep-{number}", trials, parallelism))
        if number == 0:
            print(f"operator's memory at {trials} trials done: {ours[0].memory:.0f} MiB", flush=True)
        theirs.append(bare(at, f"bare-{number}", trials, parallelism))
        _report(f"round {number + 1}", ours[-1], theirs[-1])
    print(f"CPU ms per trial of a sweep: {_listed(ours[-1].cpu)}")
    print(f"CPU ms per trial bare: {_listed(theirs[-1].cpu)}")
    _ratio(
        "CPU time of everything",
        [sum(one.cpu.values()) for one in ours],
        [sum(one.cpu.values()) for one in theirs],
    )
    what = f"{trials} trials, {parallelism} at a time, sweep ÷ bare loop"
    _ratio(what, [one.seconds for one in ours], [one.seconds for one in theirs], f", to reach: {RATIO}")


def _ratio(what: str, ours: Sequence[float], theirs: Sequence[float], more: str = "") -> None:
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    print(f"{what}: {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}){more}")


def _report(title: str, ours: Run, theirs: Run) -> None:
    print(
        f"{title}: {ours.seconds:.1f} s as a sweep, of which {ours.alone:.1f} s for trial 0 alone; "
        f"{theirs.seconds:.1f} s bare: ratio {ours.seconds / theirs.seconds:.2f}; {_load()}",
        flush=True,
    )


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--parallelism", type=int, default=100)
    options = parser.parse_args()
    with world() as at:
        flags = " ".join(at.cluster.plane.controllers)
        print(f"Kubernetes {KUBERNETES}, controller-manager {flags}; pods of {DURATION} ms; ", end="")
        print(f"bare loop of {THREADS} threads; {_load()}")
        print(f"operator's memory at rest: {memory(at.operator.pid):.0f} MiB", flush=True)
        first = min(100, options.trials)
        swept(at, "first", first, min(options.parallelism, 20))
        requests(at, first)
        bare(at, "warm", first, options.parallelism)
        rounds(at, options.rounds, options.trials, options.parallelism)


if __name__ == "__main__":
    main()
