"""An S3 server for the tests: moto's, as a process of its own."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from .processes import Processes

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}  # moto takes any
SECRET = "s3-credentials"


@dataclass(frozen=True)
class Bucket:
    """One empty bucket; its credentials lie in a Secret of the namespace, named `secret`."""

    endpoint: str
    name: str
    region: str = REGION
    secret: str = SECRET

    @property
    def url(self) -> str:
        return f"s3://{self.name}/sweeps"

    def client(self) -> Any:
        return client(self.endpoint)

    def keys(self, prefix: str = "") -> list[str]:
        """Every key, in order."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def read(self, key: str) -> bytes:
        body: bytes = self.client().get_object(Bucket=self.name, Key=key)["Body"].read()
        return body


def client(endpoint: str) -> Any:
    """A client with the tests' credentials."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


@contextmanager
def server(folder: Path, processes: Processes) -> Iterator[str]:
    """Serve S3 on a free port; yields its endpoint."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = processes.start(command, log=folder / "moto.log")
    try:
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "moto.log").read_text()
                assert time.monotonic() < until, "moto's server does not listen"
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        processes.end(process, grace=1)
