"""Requests to the Kubernetes API: plain documents in and out, one kind of error, every request counted."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, Configuration

from hypersweep.contract import GROUP, PLURAL, VERSION

TIMEOUT = (3.0, 10.0)  # seconds to connect, and between two bytes of an answer
APPLY = "application/apply-patch+yaml"

Document = dict[str, Any]
Observer = Callable[[str, str, str, float], None]  # verb, resource, code, seconds


class KubeError(Exception):
    """The API server refused, failed or did not answer; `status` is 0 when there was no answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Resource:
    """A kind of object, by its place in the API."""

    root: str
    plural: str

    @property
    def version(self) -> str:
        """As `apiVersion` in a document."""
        return self.root.removeprefix("/apis/").removeprefix("/api/")

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        scope = f"namespaces/{namespace}/" if namespace else ""
        return "/".join(part for part in (f"{self.root}/{scope}{self.plural}", name, subresource) if part)


SWEEPS = Resource(f"/apis/{GROUP}/{VERSION}", PLURAL)
JOBS = Resource("/apis/batch/v1", "jobs")
PODS = Resource("/api/v1", "pods")
SERVICES = Resource("/api/v1", "services")
EVENTS = Resource("/api/v1", "events")
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases")


def connect(connections: int = 32) -> ApiClient:
    """A client with the identity of the pod, else of KUBECONFIG; it never repeats a request by itself."""
    configuration = Configuration()
    try:
        config.load_incluster_config(configuration)
    except config.ConfigException:
        # by name: the loader itself looks at the variable only when it is imported
        config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
    # a repeated request hides an outage from the lease and makes every timeout a multiple of itself
    configuration.retries = False
    configuration.connection_pool_maxsize = connections
    return ApiClient(configuration)


class Kube:
    """The few requests that an operator makes."""

    def __init__(
        self,
        api: ApiClient,
        observe: Observer = lambda verb, resource, code, seconds: None,
        timeout: tuple[float, float] = TIMEOUT,
    ) -> None:
        self._api = api
        self._observe = observe
        self._timeout = timeout

    def get(self, resource: Resource, namespace: str, name: str) -> Document:
        return self._request("get", "GET", resource, resource.path(namespace, name))

    def list(self, resource: Resource, namespace: str | None, **query: Any) -> Document:
        return self._request("list", "GET", resource, resource.path(namespace), query=query)

    def serves(self, resource: Resource) -> bool:
        """Whether discovery shows the kind: after a definition is created that takes a moment."""
        group = resource.version.partition("/")[0]
        try:
            groups = self._request("get", "GET", resource, "/apis")["groups"]
            kinds = self._request("get", "GET", resource, resource.root)["resources"]
        except KubeError as error:
            if error.status == 404:
                return False
            raise
        listed = any(found["name"] == group for found in groups)
        return listed and any(found["name"] == resource.plural for found in kinds)

    def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Document:
        return self._request("create", "POST", resource, resource.path(namespace), body=body)

    def replace(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Document:
        path = resource.path(namespace, body["metadata"]["name"])
        return self._request("update", "PUT", resource, path, body=body)

    def delete(self, resource: Resource, namespace: str, name: str, uid: str, propagation: str) -> Document:
        """Delete the object of this uid and no other of its name (409)."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": propagation}
        return self._request("delete", "DELETE", resource, resource.path(namespace, name), body=body)

    def apply_status(
        self, resource: Resource, namespace: str, body: Mapping[str, Any], manager: str
    ) -> Document:
        """Server-side apply on /status; 409 when the resourceVersion in the body is not the newest."""
        path = resource.path(namespace, body["metadata"]["name"], "status")
        query = {"fieldManager": manager, "force": "true"}
        return self._request("patch", "PATCH", resource, path, query=query, body=body, content=APPLY)

    @contextmanager
    def watch(
        self, resource: Resource, namespace: str | None, silence: float, **query: Any
    ) -> Iterator[Iterator[bytes]]:
        """The lines of a watch as they come; KubeError after `silence` seconds without one."""
        path, timeout = resource.path(namespace), (self._timeout[0], silence)
        query = {"watch": "true", "allowWatchBookmarks": "true", **query}
        response = self._open("watch", "GET", resource, path, query=query, timeout=timeout)
        try:
            yield _lines(response)
        finally:
            response.close()

    def _request(
        self,
        verb: str,
        method: str,
        resource: Resource,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
    ) -> Document:
        response = self._open(verb, method, resource, path, query=query, body=body, content=content)
        document: Document = json.loads(_read(response))
        return document

    def _open(
        self,
        verb: str,
        method: str,
        resource: Resource,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        timeout: tuple[float, float] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json"} | ({"Content-Type": content} if body is not None else {})
        # the client adds the credentials, renewed where they expire; the body passes by it, as it is plain
        request = self._api.param_serialize(
            method, path, None, list((query or {}).items()), headers, auth_settings=["BearerToken"]
        )
        begun = time.monotonic()
        code = "0"
        try:
            response: urllib3.BaseHTTPResponse = self._api.rest_client.request(
                request[0], request[1], request[2], body, _request_timeout=timeout or self._timeout
            ).response
            code = str(response.status)
            if not 200 <= response.status <= 299:
                raise _refusal(response.status, _read(response))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise KubeError(0, "NoAnswer", f"{verb} {resource.plural}: {error}") from error
        finally:
            self._observe(verb, resource.plural, code, time.monotonic() - begun)
        return response


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """The whole answer; without giving the connection back, each request would open another one."""
    try:
        return response.read()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise KubeError(0, "NoAnswer", str(error)) from error
    finally:
        response.release_conn()


def _refusal(status: int, answer: bytes) -> KubeError:
    try:
        document = json.loads(answer)
        return KubeError(status, document.get("reason", ""), document.get("message", ""))
    except (ValueError, AttributeError):
        return KubeError(status, "", answer[:200].decode(errors="replace"))


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    try:
        for chunk in response.stream(None, decode_content=False):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line for line in lines if line)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise KubeError(0, "NoAnswer", str(error)) from error
