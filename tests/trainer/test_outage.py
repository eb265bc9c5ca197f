"""A store that is away delays training and never stops it; shown with an S3 service that comes and goes."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hypersweep.store import DirectoryStore, StoreError, StoreRefused
from hypersweep_trainer import outage
from hypersweep_trainer.stop import Stopped, unasked
from tests.trainer.processes import wait
from tests.trainer.runs import an_environment, left, message, start, stop_after, train
from tests.trainer.service import PREFIX, Service, Trial, an_attempt, service

__all__ = ["service"]

HASTY = "from hypersweep_trainer import writer; writer.GRACE = 0.5\n"
SLOW = """
import time
from hypersweep_trainer import loop
whole = loop.Loop._measured
def measured(self):
    time.sleep(0.2)
    return whole(self)
loop.Loop._measured = measured
"""
SOON = 60.0  # seconds on a busy machine, in which a process ends that a lost connection holds up


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_store_that_is_away_at_the_start_is_waited_for(
    ranks: int, service: Service, tmp_path: Path
) -> None:
    service.go()
    trial = Trial(tmp_path, an_attempt(tmp_path, service, ranks=ranks))
    wait(trial.says("waiting for the store, trying again in 0.5 s: s3://sweeps/"))
    assert trial.process.poll() is None
    service.come()

    assert 0 == trial.process.wait(timeout=120)
    assert "done" == service.read("result.json")["status"]


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_trial_that_waits_for_its_store_can_be_stopped(
    ranks: int, service: Service, tmp_path: Path
) -> None:
    service.go()
    trial = Trial(tmp_path, an_attempt(tmp_path, service, ranks=ranks))
    wait(trial.says("waiting for the store"))
    trial.process.send_signal(signal.SIGTERM)

    assert 75 == trial.process.wait(timeout=SOON)
    assert "stopped on request before the first step" == message(tmp_path)
    service.come()


def test_a_trial_trains_on_while_its_store_is_away_and_ends_once_it_is_back(
    service: Service, tmp_path: Path
) -> None:
    epochs = 30
    environment = an_attempt(tmp_path, service, {"epochs": epochs, "checkpoint_seconds": 0})
    trial = Trial(tmp_path, environment, SLOW)
    wait(lambda: "metrics/000001.jsonl" in service.holds())
    service.go()
    wait(trial.says("the store did not take a write"))
    assert not trial.says(f"epoch {epochs}/")()
    wait(trial.says(f"epoch {epochs}/{epochs}"))
    service.come()

    assert 0 == trial.process.wait(timeout=120)
    held = service.holds()
    found = [key for key in sorted(held) if key.startswith("metrics/")]
    chunks = [service.client.get_object(Bucket="sweeps", Key=f"{PREFIX}/0/{key}") for key in found]
    rows = [json.loads(line) for chunk in chunks for line in chunk["Body"].read().splitlines()]
    assert list(range(1, epochs + 1)) == [row["epoch"] for row in rows]
    assert epochs * 9 == service.read("result.json")["steps"]
    assert {"environment.json", "log.txt", "model/weights.safetensors", "model/model.json"} < held


@pytest.mark.parametrize(("when", "epochs"), [("in the middle", 100_000), ("at the end", 20)])
def test_a_stop_while_the_store_is_away_keeps_what_the_store_has(
    when: str, epochs: int, service: Service, tmp_path: Path
) -> None:
    options = {"epochs": epochs, "checkpoint_seconds": 0}
    trial = Trial(tmp_path, an_attempt(tmp_path, service, options), HASTY + SLOW)
    wait(lambda: any(key.startswith("checkpoints/") and key.endswith(".json") for key in service.holds()))
    service.go()
    wait(trial.says("the store did not take a write" if when == "in the middle" else "epoch 20/20"))
    trial.process.send_signal(signal.SIGTERM)

    assert 75 == trial.process.wait(timeout=SOON)
    service.come()
    held = [key for key in service.holds() if key.startswith("checkpoints/") and key.endswith(".json")]
    assert "result.json" not in service.holds()
    if when == "at the end":
        assert 0 == train(an_attempt(tmp_path, service, options, attempt=1))
        assert max(service.read(key)["step"] for key in held) == service.read("result.json", 1)["resumedFrom"]
        assert 9 * epochs == service.read("result.json", 1)["steps"]


def test_pretrained_weights_in_a_store_that_is_away_are_waited_for(service: Service, tmp_path: Path) -> None:
    assert 0 == train(an_attempt(tmp_path / "first", service))
    service.go()
    options = {"pretrained": f"s3://sweeps/{PREFIX}/0/model", "lr": 1e-8, "epochs": 1}
    environment = an_environment(tmp_path / "second", options)
    trial = Trial(tmp_path, environment | {"HYPERSWEEP_STORE_ENDPOINT": service.url})
    wait(trial.says("waiting for the store"))
    service.come()

    assert 0 == trial.process.wait(timeout=120)
    before = service.read("result.json")["metrics"]["val_loss"]["last"]
    assert before == pytest.approx(left(tmp_path / "second", "result.json")["metrics"]["val_loss"]["last"])


def test_a_store_that_refuses_to_give_weights_is_not_waited_for(service: Service, tmp_path: Path) -> None:
    options = {"pretrained": "s3://elsewhere/model"}
    environment = an_environment(tmp_path, options) | {"HYPERSWEEP_STORE_ENDPOINT": service.url}

    assert 78 == start(environment).wait(timeout=120)
    assert "the bucket must exist" in message(tmp_path)


# -- without a network


class Flaky(DirectoryStore):
    """A folder of which the first answer to every question is that it is away."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._asked: set[tuple[str, str]] = set()

    def read(self, key: str, limit: int | None = None) -> bytes | None:
        self._fail("read", key)
        return super().read(key, limit)

    def list(self, prefix: str = "", after: str = "") -> Iterator[str]:
        self._fail("list", prefix)
        yield from super().list(prefix, after)

    def _fail(self, action: str, key: str) -> None:
        if (action, key) not in self._asked:
            self._asked.add((action, key))
            raise StoreError(f"away: cannot {action} {key}")


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "PAUSE", 0.001)


@pytest.mark.usefixtures("fast")
def test_what_an_earlier_attempt_left_is_found_though_the_store_is_away_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"lr": "auto", "checks": "off"}
    train(an_environment(tmp_path, options), stop_after(3))
    monkeypatch.setattr("hypersweep_trainer.trial.open_store", lambda url, **_: Flaky(Path(url)))

    assert 0 == train(an_environment(tmp_path, options, attempt=1))
    assert 3 == left(tmp_path, "result.json", 1)["resumedFrom"]
    assert left(tmp_path, "resolved.json") == left(tmp_path, "resolved.json", 1)


@pytest.mark.usefixtures("fast")
def test_data_that_is_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hypersweep_trainer import train as training

    load, answers = training.load, iter([StoreError("s3://rows: cannot be read"), None])

    def away(*given: Any) -> Any:
        if error := next(answers):
            raise error
        return load(*given)

    monkeypatch.setattr(training, "load", away)

    assert 0 == train(an_environment(tmp_path))


def test_a_store_that_stays_away_ends_an_attempt_that_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outage, "PATIENCE", 0.0)
    environment = {**an_environment(tmp_path), "HYPERSWEEP_STORE": "/proc/none/attempts/0"}

    assert 1 == train(environment)
    assert "the store was away for 0 minutes: file:///proc/none" in message(tmp_path)
    assert "the store was away" in capsys.readouterr().err


@pytest.mark.usefixtures("fast")
def test_an_answer_is_waited_for_and_a_refusal_is_one() -> None:
    errors: Iterator[Exception | None] = iter([StoreError("away"), StoreError("away"), None])
    asked = []

    def ask() -> str:
        asked.append(1)
        if error := next(errors):
            raise error
        return "here"

    assert "here" == outage.answer(ask, unasked)
    assert 3 == len(asked)
    errors = iter([StoreRefused("no such bucket")])
    with pytest.raises(StoreRefused):
        outage.answer(ask, unasked)


def test_waiting_for_a_store_ends_where_somebody_asks_for_it() -> None:
    looks = iter([None, None, Stopped()])

    def look() -> None:
        if error := next(looks):
            raise error

    def ask() -> None:
        raise StoreError("away")

    with pytest.raises(Stopped):
        outage.answer(ask, look)
