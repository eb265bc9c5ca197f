"""The controller while the API server or the store is away, or says no."""

from hypersweep.kube import KubeError
from hypersweep.settings import StoreNotAllowed
from hypersweep.store import StoreError
from tests.controlled import World


def test_an_api_server_that_fails_is_tried_again_ever_later() -> None:
    world = World().apply()
    world.kube.refusals["get"] = KubeError(0, "NoAnswer", "timeout")
    for _ in range(4):
        world.work()
        world.clock.now += 60
    del world.kube.refusals["get"]
    world.pass_time(60)

    assert ["digits-0-0"] == world.job_names
    assert 1 < world.queue.retries < 6


def test_a_store_that_is_away_is_told_and_tried_again() -> None:
    world = World()
    world.failure = StoreError("connection refused")
    world.apply().work()
    condition = world.condition("StoreAvailable")
    assert ("False", "Unreachable", "connection refused") == (
        condition["status"],
        condition["reason"],
        condition["message"],
    )
    world.failure = None
    world.pass_time(3)

    assert "True" == world.condition("StoreAvailable")["status"]
    assert ["digits-0-0"] == world.job_names


def test_a_store_that_is_not_allowed_is_told() -> None:
    world = World()
    world.failure = StoreNotAllowed("spec.store.url: it must be left out")
    world.apply().work()

    assert "NotAllowed" == world.condition("StoreAvailable")["reason"]


def test_a_job_that_is_refused_is_told_and_tried_again() -> None:
    world = World().apply()
    world.kube.refusals["create"] = KubeError(403, "Forbidden", "exceeded quota: gpus")
    world.work()
    assert "exceeded quota: gpus" == world.condition("Launching")["message"]
    del world.kube.refusals["create"]
    world.pass_time(3)
    world.pass_time(3)

    assert ["digits-0-0"] == world.job_names
    assert not [found for found in world.status["conditions"] if found["type"] == "Launching"]


def test_a_sweep_that_is_extended_while_its_store_is_away_goes_on_when_it_is_back() -> None:
    world = World().apply(maxTrials=2).work()
    for _ in range(6):
        world.finish()
        world.pass_time(3)
    assert ("Succeeded", "2/2") == (world.status["phase"], world.status["progress"])

    world.controller = world.a_controller()
    world.failure = StoreError("it is away")
    world.apply(generation=2, maxTrials=3).work()
    world.pass_time(5)
    world.failure = None
    world.pass_time(60)
    world.finish()
    world.pass_time(3)

    assert ("Succeeded", "3/3", 2) == (
        world.status["phase"],
        world.status["progress"],
        world.status["observedGeneration"],
    )
