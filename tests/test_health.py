from collections.abc import Iterator

import pytest
import urllib3
from prometheus_client.registry import CollectorRegistry

from hypersweep.health import Server
from hypersweep.metrics import Registry


class World:
    def __init__(self) -> None:
        self.wrong: list[str] = []
        collectors = CollectorRegistry()
        collectors.register(Registry("1.2.3"))
        self.server = Server(0, collectors, {"/healthz": lambda: self.wrong}, poll=0.02)
        self.http = urllib3.PoolManager(retries=False, timeout=5)

    def get(self, path: str) -> tuple[int, str]:
        answer = self.http.request("GET", f"http://127.0.0.1:{self.server.port}{path}")
        return answer.status, answer.data.decode()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.http.clear()
    made.server.close()


def test_a_check_that_finds_nothing_wrong_is_ok(world: World) -> None:
    assert (200, "ok\n") == world.get("/healthz")


def test_a_check_that_fails_says_what_is_wrong(world: World) -> None:
    world.wrong = ["watch of all is stalled", "worker 1 has ended"]

    assert (503, "watch of all is stalled\nworker 1 has ended\n") == world.get("/healthz")


def test_metrics_are_served(world: World) -> None:
    status, text = world.get("/metrics")

    assert 200 == status
    assert 'hypersweep_build_info{version="1.2.3"} 1.0' in text


def test_another_page_is_not_found(world: World) -> None:
    assert 404 == world.get("/else")[0]
