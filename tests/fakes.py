"""Fakes of ports, each under the contract test of the real ones."""

import copy
from collections.abc import Iterator
from typing import Any

from kubernetes.client import ApiException, V1ConfigMap, V1ObjectMeta, V1OwnerReference

from hypersweep.store import Taken, checked


class FakeStore:
    """A store in memory."""

    def __init__(self, url: str = "fake://store") -> None:
        self.url = url
        self.keys: dict[str, bytes] = {}

    def read(self, key: str, limit: int | None = None) -> bytes | None:
        data = self.keys.get(checked(key))
        return None if data is None else data[:limit]

    def write(self, key: str, data: bytes) -> None:
        self.keys[checked(key)] = data

    def write_once(self, key: str, data: bytes) -> None:
        if self.keys.setdefault(checked(key), data) != data:
            raise Taken(f"{self.url}/{key}")

    def list(self, prefix: str = "", after: str = "") -> Iterator[str]:
        yield from sorted(key for key in self.keys if key.startswith(prefix) and key > after)

    def delete(self, key: str) -> None:
        self.keys.pop(checked(key), None)


class FakeConfigMaps:
    """The ConfigMap calls of an API server: resourceVersions, 404 and 409."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], V1ConfigMap] = {}
        self.writes = 0

    def read_namespaced_config_map(self, name: str, namespace: str, **_: Any) -> V1ConfigMap:
        if (namespace, name) not in self.objects:
            raise ApiException(status=404, reason="Not Found")
        return copy.deepcopy(self.objects[namespace, name])

    def create_namespaced_config_map(self, namespace: str, body: Any, **_: Any) -> V1ConfigMap:
        name = body["metadata"]["name"]
        if (namespace, name) in self.objects:
            raise ApiException(status=409, reason="Conflict")
        owners = [
            V1OwnerReference(
                api_version=owner["apiVersion"],
                kind=owner["kind"],
                name=owner["name"],
                uid=owner["uid"],
                controller=owner["controller"],
            )
            for owner in body["metadata"]["ownerReferences"]
        ]
        metadata = V1ObjectMeta(name=name, namespace=namespace, owner_references=owners)
        return self._store(V1ConfigMap(metadata=metadata, binary_data=body["binaryData"]))

    def replace_namespaced_config_map(self, name: str, namespace: str, body: Any, **_: Any) -> V1ConfigMap:
        held = self.read_namespaced_config_map(name, namespace)
        if body.metadata.resource_version != held.metadata.resource_version:
            raise ApiException(status=409, reason="Conflict")
        return self._store(copy.deepcopy(body))

    def _store(self, body: V1ConfigMap) -> V1ConfigMap:
        self.writes += 1
        body.metadata.resource_version = str(self.writes)
        self.objects[body.metadata.namespace, body.metadata.name] = body
        return copy.deepcopy(body)
