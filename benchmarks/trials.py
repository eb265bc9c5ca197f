"""What simulated trials do: `python -m benchmarks.trials SERVER AUTHORITY ENDPOINT` writes their results."""

import json
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from tests.cluster import s3
from tests.cluster.api import Api, Object

from hypersweep import contract
from hypersweep.store import open_store

LATENCY = 0.2  # seconds from a pod's creation to its writes: well before the pod is seen to have ended
WRITERS = 4


def main() -> None:
    """Write what each trial writes, soon after its pod was created, until killed."""
    server, authority, endpoint = sys.argv[1:]
    os.environ.update(s3.CREDENTIALS)
    due: queue.Queue[tuple[float, Object]] = queue.Queue()
    for _ in range(WRITERS):
        threading.Thread(target=_write, args=(due, endpoint), daemon=True).start()
    api = Api(server, os.environ["TOKEN"], Path(authority))
    known: set[str] = set()
    for event, seen in api.watch("/api/v1/pods", threading.Event(), labelSelector=contract.LABEL_TRIAL):
        for pod in seen["items"] if event == "LIST" else [seen] if event == "ADDED" else ():
            if pod["metadata"]["uid"] not in known:
                known.add(pod["metadata"]["uid"])
                due.put((time.monotonic() + LATENCY, pod))


def _write(due: "queue.Queue[tuple[float, Object]]", endpoint: str) -> None:
    while True:
        moment, pod = due.get()
        time.sleep(max(moment - time.monotonic(), 0))
        env = {found["name"]: found.get("value", "") for found in pod["spec"]["containers"][0]["env"]}
        store = open_store(env[contract.ENV_STORE], endpoint=endpoint, region=s3.REGION)
        loss = _loss(env)
        if env[contract.ENV_TRIAL] == "0":  # the only one whose progress others wait for
            progress = {"step": 1, "time": time.time(), "metrics": {"loss": loss}}
            store.write(contract.PROGRESS, json.dumps(progress).encode())
        metrics = {"loss": {"last": loss, "best": loss, "bestStep": 1, "value": loss}}
        result = {"status": "done", "metrics": metrics, "steps": 1}
        store.write(contract.RESULT, json.dumps(result).encode())


def _loss(env: Mapping[str, str]) -> float:
    """A smooth function of the one parameter."""
    return (math.log10(json.loads(env[contract.ENV_PARAMETERS])["lr"]) + 2) ** 2


if __name__ == "__main__":
    main()
