"""A Kubernetes API in memory: names, uids, resourceVersions, and refusals on request."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hypersweep.kube import Document, KubeError, Resource

CREATED = "2026-01-01T00:00:00Z"


def selector(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(",") if part)


def field(document: Document, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for name in path.split("."):
        document = document.get(name) or {}
    return document or None


class FakeKube:
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Document] = {}
        self.calls: list[tuple[str, str, str]] = []  # verb, resource, name
        self.refusals: dict[str, KubeError] = {}  # verb: what it answers
        self.watches: list[list[bytes | Exception]] = []  # the lines of each watch to come
        self.version = 0

    def get(self, resource: Resource, namespace: str, name: str) -> Document:
        self._called("get", resource, name)
        key = (resource.plural, namespace, name)
        if key not in self.objects:
            raise KubeError(404, "NotFound", f"{name} not found")
        return copy.deepcopy(self.objects[key])

    def list(self, resource: Resource, namespace: str | None, **query: Any) -> Document:
        self._called("list", resource, "")
        wanted, fields = (selector(query.get(name, "")) for name in ("labelSelector", "fieldSelector"))
        items = [
            copy.deepcopy(document)
            for (plural, place, _), document in self.objects.items()
            if plural == resource.plural
            and namespace in (None, place)
            and wanted.items() <= document["metadata"].get("labels", {}).items()
            and all(field(document, path) == value for path, value in fields.items())
        ]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Document:
        self._called("create", resource, body["metadata"]["name"])
        if (resource.plural, namespace, body["metadata"]["name"]) in self.objects:
            raise KubeError(409, "AlreadyExists", "exists")
        return self.put(resource, namespace, body)

    def put(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Document:
        """Store an object as somebody else would."""
        document = copy.deepcopy(dict(body))
        metadata = document["metadata"] = dict(body["metadata"])
        self.version += 1
        metadata.setdefault("uid", f"uid-{self.version}")
        metadata.setdefault("creationTimestamp", CREATED)
        metadata |= {"namespace": namespace, "resourceVersion": str(self.version)}
        self.objects[resource.plural, namespace, metadata["name"]] = document
        return copy.deepcopy(document)

    def replace(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Document:
        held = self.get(resource, namespace, body["metadata"]["name"])
        self._called("update", resource, body["metadata"]["name"])
        if body["metadata"]["resourceVersion"] != held["metadata"]["resourceVersion"]:
            raise KubeError(409, "Conflict", "changed")
        return self.put(resource, namespace, body)

    def delete(self, resource: Resource, namespace: str, name: str, uid: str, propagation: str) -> Document:
        held = self.get(resource, namespace, name)
        self._called(f"delete {propagation}", resource, name)
        if held["metadata"]["uid"] != uid:
            raise KubeError(409, "Conflict", "another uid")
        return self.objects.pop((resource.plural, namespace, name))

    def apply_status(
        self, resource: Resource, namespace: str, body: Mapping[str, Any], manager: str
    ) -> Document:
        held = self.get(resource, namespace, body["metadata"]["name"])
        self._called("patch", resource, body["metadata"]["name"])
        if body["metadata"]["resourceVersion"] != held["metadata"]["resourceVersion"]:
            raise KubeError(409, "Conflict", "changed")
        return self.put(resource, namespace, held | {"status": body["status"]})

    @contextmanager
    def watch(
        self, resource: Resource, namespace: str | None, silence: float, **query: Any
    ) -> Iterator[Iterator[bytes]]:
        self._called("watch", resource, query["resourceVersion"])

        def lines() -> Iterator[bytes]:
            for line in self.watches.pop(0) if self.watches else ():
                if isinstance(line, Exception):
                    raise line
                yield line

        yield lines()

    def verbs(self, plural: str) -> Sequence[str]:
        return tuple(verb for verb, resource, _ in self.calls if resource == plural)

    def _called(self, verb: str, resource: Resource, name: str) -> None:
        self.calls.append((verb, resource.plural, name))
        if verb in self.refusals:
            raise self.refusals[verb]
