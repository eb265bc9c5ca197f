"""A sweep as its user sees it: applied, watched, deleted; and what its journal says of it."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from hypersweep import contract
from hypersweep.journal import Ended, Fact, Launched, decode

from .s3 import Bucket
from .up import Cluster

TERMINAL = ("Succeeded", "Failed")
SCRIPT = (
    "import json, os\n"
    "x = json.loads(os.environ['HYPERSWEEP_PARAMETERS'])['x']\n"
    "open(os.environ['HYPERSWEEP_TERMINATION_LOG'], 'w').write(json.dumps({'loss': (x - 3) ** 2}))\n"
)


def a_sweep(name: str = "quick", points: int = 6, script: str = SCRIPT, **spec: Any) -> dict[str, Any]:
    """A grid of trials that take a twentieth of a second each: `python -S` on a few lines."""
    container = {"name": contract.CONTAINER, "command": ["python", "-S", "-c", script]}
    trial = {"image": "python", "podTemplate": {"spec": {"containers": [container]}}}
    return {
        "apiVersion": f"{contract.GROUP}/{contract.VERSION}",
        "kind": contract.KIND,
        "metadata": {"name": name},
        "spec": {
            "objectives": [{"metric": "loss", "goal": "minimize"}],
            "parameters": [{"name": "x", "int": {"min": 1, "max": points}}],
            "strategy": {"grid": {}},
            "parallelism": 2,
            "trial": trial | spec.pop("trial", {}),
            **spec,
        },
    }


def await_that(condition: Callable[[], Any], what: str, seconds: float = 90) -> Any:
    """The first true value of a condition that others bring about; TimeoutError names what was awaited."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError(f"not within {seconds} s: {what}")


@dataclass(frozen=True)
class Applied:
    """One sweep in a namespace."""

    cluster: Cluster
    namespace: str
    name: str
    uid: str

    @classmethod
    def apply(cls, cluster: Cluster, namespace: str, manifest: Mapping[str, Any] | str) -> "Applied":
        """`kubectl apply -f` of a manifest."""
        document = yaml.safe_load(manifest) if isinstance(manifest, str) else manifest
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=text)
        name = document["metadata"]["name"]
        found = cluster.api.get(f"{_folder(namespace)}/{name}")
        return cls(cluster, namespace, name, found["metadata"]["uid"])

    @property
    def path(self) -> str:
        return f"{_folder(self.namespace)}/{self.name}"

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.api.get(self.path).get("status", {})
        return found

    def await_end(self, seconds: float = 90) -> dict[str, Any]:
        """The status once it is terminal at the current generation."""

        def ended() -> dict[str, Any] | None:
            found = self.cluster.api.get(self.path)
            status: dict[str, Any] = found.get("status", {})
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            return status if current and status.get("phase") in TERMINAL else None

        found: dict[str, Any] = await_that(ended, f"{self.name} ends: {self.status}", seconds)
        return found

    def patch(self, **spec: Any) -> None:
        self.cluster.api.patch(self.path, {"spec": spec})

    def delete(self) -> None:
        self.cluster.kubectl("delete", "-n", self.namespace, contract.PLURAL, self.name, "--wait=true")

    def jobs(self) -> list[dict[str, Any]]:
        return self._owned("/apis/batch/v1", "jobs")

    def pods(self) -> list[dict[str, Any]]:
        selector = f"{contract.LABEL_SWEEP}={self.name}"
        return self.cluster.api.list(f"/api/v1/namespaces/{self.namespace}/pods", labelSelector=selector)

    def remains(self) -> list[str]:
        """Everything in the namespace that belongs to it."""
        owned = [self._owned("/apis/batch/v1", "jobs"), self.pods()]
        owned += [self._owned("/api/v1", kind) for kind in ("services", "configmaps")]
        return [f"{one['metadata']['name']}" for kind in owned for one in kind]

    def facts(self, bucket: Bucket) -> list[Fact]:
        """Its journal in a bucket."""
        _, _, prefix = bucket.url.removeprefix("s3://").partition("/")
        folder = f"{prefix}/{contract.sweep_prefix(self.namespace, self.name, self.uid)}/journal/"
        return [fact for key in bucket.keys(folder) for fact in decode(bucket.read(key))]

    def _owned(self, api: str, kind: str) -> list[dict[str, Any]]:
        found = self.cluster.api.list(f"{api}/namespaces/{self.namespace}/{kind}")
        owners = [(one, one["metadata"].get("ownerReferences", ())) for one in found]
        return [one for one, refs in owners if any(ref["uid"] == self.uid for ref in refs)]


def outcome(facts: list[Fact]) -> list[tuple[Any, ...]]:
    """What of a sweep must not depend on time, order or faults: per trial its place, parameters, result."""
    final = {fact.trial: fact for fact in facts if isinstance(fact, Ended) and fact.final}
    launched = {
        fact.trial: fact.suggestion for fact in facts if isinstance(fact, Launched) and fact.suggestion
    }
    return sorted(
        (
            repr(suggestion.slot),
            suggestion.draw or 0,
            json.dumps(dict(suggestion.parameters), sort_keys=True),
            suggestion.seed,
            final[number].end.value if number in final else None,
            json.dumps(dict(final[number].metrics), sort_keys=True) if number in final else None,
        )
        for number, suggestion in launched.items()
    )


def recorded_once(facts: list[Fact]) -> bool:
    """Whether every attempt has at most one end, and every trial exactly one final one."""
    ends = [(fact.trial, fact.attempt) for fact in facts if isinstance(fact, Ended)]
    final = [fact.trial for fact in facts if isinstance(fact, Ended) and fact.final]
    launched = {fact.trial for fact in facts if isinstance(fact, Launched)}
    return len(set(ends)) == len(ends) and sorted(final) == sorted(launched)


def _folder(namespace: str) -> str:
    return f"/apis/{contract.GROUP}/{contract.VERSION}/namespaces/{namespace}/{contract.PLURAL}"
