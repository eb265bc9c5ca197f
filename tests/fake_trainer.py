"""Stands for the built-in trainer in a worker process, and does what its parameter `do` says."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping

from hypersweep import contract
from hypersweep.store import open_store

left: list[str] = []  # what goes on after its trial


def warm() -> None:
    """There is nothing to import."""


def idle() -> bool:
    return not left


def run(environment: Mapping[str, str], should_stop: Callable[[], bool]) -> int:
    do = json.loads(environment[contract.ENV_PARAMETERS])["do"]
    if do == "crash":
        print("last words")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
    if do == "save":
        while not should_stop():
            time.sleep(0.01)
        return contract.EXIT_STOPPED
    if do == "linger":
        left.append(do)
    store = open_store(environment[contract.ENV_STORE])
    store.write(contract.ENVIRONMENT, json.dumps(dict(environment)).encode())
    result = {
        "status": "infeasible" if do == "fail" else "done",
        "metrics": {"val_loss": 0.5, "worker": os.getpid()},
        "checks": {"gap": {"verdict": "fail" if do == "fail" else "ok", "words": "leak"}},
        "resolved": {"lr": 0.25 + 0.01 * int(environment[contract.ENV_TRIAL])},
    }
    store.write(contract.RESULT, json.dumps(result).encode())
    return contract.EXIT_DONE
