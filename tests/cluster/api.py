"""The Kubernetes API as plain JSON: one connection pool, one method per verb, a watch as a generator."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

Object = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
SILENCE = 70  # seconds without a byte after which a watch counts as broken: bookmarks come every minute


class ApiError(Exception):
    """The API server refused; `status` is the HTTP status, `reason` Kubernetes' own word."""

    def __init__(self, status: int, body: Object) -> None:
        super().__init__(f"{status} {body.get('reason')}: {body.get('message')}")
        self.status = status
        self.reason = body.get("reason")


class Api:
    """One identity at one API server; safe to use from many threads."""

    def __init__(self, server: str, token: str, authority: Path) -> None:
        self.server, self.token, self.authority = server, token, authority
        self._pool = urllib3.PoolManager(
            num_pools=2,
            maxsize=32,
            ca_certs=str(authority),
            headers={"Authorization": f"Bearer {token}"},
            timeout=urllib3.Timeout(connect=5, read=30),
            retries=False,
        )

    def get(self, path: str, **query: Any) -> Object:
        return self._call("GET", path, None, query)

    def create(self, path: str, body: Object, **query: Any) -> Object:
        return self._call("POST", path, body, query)

    def replace(self, path: str, body: Object, **query: Any) -> Object:
        return self._call("PUT", path, body, query)

    def patch(self, path: str, body: Any, kind: str = MERGE, **query: Any) -> Object:
        return self._call("PATCH", path, body, query, kind)

    def delete(
        self, path: str, grace: int | None = None, uid: str | None = None, policy: str | None = None
    ) -> Object:
        """Delete; a uid makes sure that nothing of the same name is hit instead."""
        options: Object = {"propagationPolicy": policy} if policy else {}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if uid:
            options["preconditions"] = {"uid": uid}
        return self._call("DELETE", path, options, {})

    def find(self, path: str, **query: Any) -> Object | None:
        """Like get, but None when there is no such object."""
        try:
            return self.get(path, **query)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, **query: Any) -> list[Object]:
        return list(self.get(path, **query)["items"])

    def watch(self, path: str, stop: threading.Event, **query: Any) -> Iterator[tuple[str, Object]]:
        """Follow a collection: all of it as LIST, then each event; again from LIST whenever that breaks."""
        while not stop.is_set():
            try:
                listed = self.get(path, **query)
                yield "LIST", listed
                yield from self._events(path, listed["metadata"]["resourceVersion"], stop, query)
            except (ApiError, urllib3.exceptions.HTTPError, OSError):
                stop.wait(0.2)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.clear()

    def _events(
        self, path: str, version: str, stop: threading.Event, query: Object
    ) -> Iterator[tuple[str, Object]]:
        parameters = query | {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        response = self._pool.request(
            "GET",
            f"{self.server}{path}?{urlencode(parameters)}",
            preload_content=False,
            timeout=urllib3.Timeout(connect=5, read=SILENCE),
        )
        try:
            rest = b""
            for chunk in response.stream(2**20):
                *lines, rest = (rest + chunk).split(b"\n")
                for event in map(json.loads, lines):
                    if stop.is_set() or event["type"] == "ERROR":
                        return
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]
        finally:
            response.close()

    def _call(
        self, method: str, path: str, body: Any, query: Object, kind: str = "application/json"
    ) -> Object:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        url = f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")
        response = self._pool.request(
            method, url, body=json.dumps(body) if body is not None else None, headers=headers
        )
        answer = response.json() if response.data.startswith(b"{") else {"message": response.data.decode()}
        if response.status >= 400:
            raise ApiError(response.status, answer)
        return answer

    def kubeconfig(self, server: str | None = None) -> Object:
        """The same identity for other clients, at another address if one is given (a proxy's)."""
        address = server or self.server
        cluster: Object = {"server": address}
        if address.startswith("https:"):
            cluster["certificate-authority"] = str(self.authority)
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user"}}],
            "current-context": "test",
        }
