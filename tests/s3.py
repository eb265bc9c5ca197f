"""An S3 service for tests, and a client of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from hypersweep.s3 import connect


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "one")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "two")
        connect.cache_clear()
        yield f"http://{host}:{port}"
    connect.cache_clear()
    server.stop()


@pytest.fixture
def s3(endpoint: str) -> Iterator[Any]:
    """A client of a service with one empty bucket, `sweeps`."""
    client = connect(endpoint, None)
    client.create_bucket(Bucket="sweeps")
    yield client
    for entry in client.list_objects_v2(Bucket="sweeps").get("Contents", ()):
        client.delete_object(Bucket="sweeps", Key=entry["Key"])
    client.delete_bucket(Bucket="sweeps")
