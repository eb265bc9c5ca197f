"""The proxy misbehaves exactly as told."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3

from .api import Api, ApiError, Object
from .proxy import Answer, Delay, Expire, Hold, Lose, Proxy
from .up import Cluster

PATHS = "/api/v1/namespaces/{}/configmaps"


def a_map(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


@pytest.fixture
def through(cluster: Cluster, proxy: Proxy) -> Any:
    """A client whose requests go through the proxy."""
    client = Api(proxy.url, cluster.api.token, cluster.api.authority)
    yield client
    client.close()


@pytest.fixture
def path(namespace: str) -> str:
    return PATHS.format(namespace)


@pytest.fixture
def names(cluster: Cluster, path: str) -> Callable[[], set[str]]:
    """What the API server really has."""
    return lambda: {one["metadata"]["name"] for one in cluster.api.list(path)} - {"kube-root-ca.crt"}


def test_without_a_rule_everything_passes(through: Api, path: str, names: Callable[[], set[str]]) -> None:
    through.create(path, a_map("one"))
    with pytest.raises(ApiError, match="AlreadyExists"):
        through.create(path, a_map("one"))

    assert {"one"} == names()


def test_a_request_is_held_before_it_takes_effect(
    proxy: Proxy, through: Api, path: str, names: Callable[[], set[str]]
) -> None:
    rule = proxy.rule("POST", "/configmaps", Hold(before=True), nth=2)
    with ThreadPoolExecutor() as pool:
        through.create(path, a_map("one"))
        second = pool.submit(through.create, path, a_map("two"))
        rule.await_fired()
        held = names()
        rule.release()
        second.result()

    assert {"one"} == held
    assert {"one", "two"} == names()


def test_a_request_dropped_before_never_takes_effect(
    proxy: Proxy, through: Api, path: str, names: Callable[[], set[str]]
) -> None:
    rule = proxy.rule("POST", "/configmaps", Hold(before=True))
    with ThreadPoolExecutor() as pool:
        call = pool.submit(through.create, path, a_map("one"))
        rule.await_fired()
        rule.drop()
        with pytest.raises(urllib3.exceptions.ProtocolError):
            call.result()

    assert set() == names()


def test_an_answer_is_held_after_the_effect(
    proxy: Proxy, through: Api, path: str, names: Callable[[], set[str]]
) -> None:
    rule = proxy.rule("POST", "/configmaps", Hold(before=False))
    with ThreadPoolExecutor() as pool:
        call = pool.submit(through.create, path, a_map("one"))
        rule.await_fired()
        held = names()
        rule.drop()
        with pytest.raises(urllib3.exceptions.ProtocolError):
            call.result()

    assert {"one"} == held


def test_an_answer_is_lost_after_the_effect(
    proxy: Proxy, through: Api, path: str, names: Callable[[], set[str]]
) -> None:
    proxy.rule("POST", "/configmaps", Lose())
    with pytest.raises(urllib3.exceptions.ProtocolError):
        through.create(path, a_map("one"))

    assert {"one"} == names()


def test_a_status_is_answered_in_the_servers_place(
    proxy: Proxy, through: Api, path: str, names: Callable[[], set[str]]
) -> None:
    proxy.rule("POST", "/configmaps", Answer(429, retry_after=1), nth=None)
    with pytest.raises(ApiError, match="429"):
        through.create(path, a_map("one"))

    assert set() == names()


def test_a_request_is_delayed(proxy: Proxy, through: Api, path: str) -> None:
    proxy.rule("GET", "/configmaps", Delay(0.3))
    began = time.monotonic()
    through.list(path)

    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("trouble", ["closed", "expired"])
def test_a_watch_breaks_and_begins_again(proxy: Proxy, through: Api, path: str, trouble: str) -> None:
    seen: list[str] = []
    if trouble == "expired":
        proxy.rule("WATCH", "/configmaps", Expire())
    for event, _ in through.watch(path, threading.Event()):
        seen.append(event)
        if event == "ADDED":
            break
        if seen.count("LIST") == 2:
            through.create(path, a_map("one"))
        elif trouble == "closed":
            closing = threading.Timer(0.3, proxy.close_watches)  # when the watch is there
            closing.start()

    assert seen == ["LIST", "LIST", "ADDED"]
