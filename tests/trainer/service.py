"""An S3 service that comes and goes, and trials that say how they take it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from hypersweep.s3 import connect
from tests.trainer.processes import a_port
from tests.trainer.runs import an_environment, start

PREFIX = "trials/00003/attempts"
MAIN = "from hypersweep_trainer.__main__ import main; main()"


class Service:
    """An S3 service at one port; what it holds survives its absence."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._server: ThreadedMotoServer | None = None

    def come(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()

    def go(self) -> None:
        if self._server is not None:
            self._server.stop()
        self._server = None

    @property
    def client(self) -> Any:
        return connect(self.url, None)

    def holds(self, attempt: int = 0) -> set[str]:
        """The keys of an attempt."""
        listed = self.client.list_objects_v2(Bucket="sweeps", Prefix=f"{PREFIX}/{attempt}/")
        return {entry["Key"].removeprefix(f"{PREFIX}/{attempt}/") for entry in listed.get("Contents", ())}

    def read(self, key: str, attempt: int = 0) -> Any:
        found = self.client.get_object(Bucket="sweeps", Key=f"{PREFIX}/{attempt}/{key}")
        return json.loads(found["Body"].read())


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """One with an empty bucket, `sweeps`."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "one")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "two")
    connect.cache_clear()
    with socket() as held:  # while the service is away its port is nobody else's
        held.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        found = Service(held.getsockname()[1])
        found.come()
        found.client.create_bucket(Bucket="sweeps")
        yield found
        for entry in found.client.list_objects_v2(Bucket="sweeps").get("Contents", ()):
            found.client.delete_object(Bucket="sweeps", Key=entry["Key"])
        found.client.delete_bucket(Bucket="sweeps")
        found.go()
    connect.cache_clear()


def an_attempt(
    root: Path, service: Service, options: dict[str, Any] | None = None, attempt: int = 0, ranks: int = 1
) -> dict[str, str]:
    environment = an_environment(root, options, attempt=attempt, ranks=ranks, PET_MASTER_PORT=a_port())
    store = f"s3://sweeps/{PREFIX}/{attempt}"
    return environment | {"HYPERSWEEP_STORE": store, "HYPERSWEEP_STORE_ENDPOINT": service.url}


class Trial:
    """A process whose words can be read while it runs."""

    def __init__(self, root: Path, environment: dict[str, str], program: str = "") -> None:
        self._said = root / "said"
        with open(self._said, "wb") as said:
            self.process = start(environment, "-c", program + MAIN, said=said)

    def says(self, words: str) -> Callable[[], bool]:
        return lambda: words in self.said

    @property
    def said(self) -> str:
        """All of its words so far."""
        return self._said.read_text()
