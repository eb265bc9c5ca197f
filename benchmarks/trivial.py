"""A trial that does nothing but write its result: what remains is the cost of running one."""

import json
from collections.abc import Callable, Mapping

from hypersweep import contract
from hypersweep.store import open_store


def warm() -> None:
    """There is nothing to import."""


def run(environment: Mapping[str, str], should_stop: Callable[[], bool]) -> int:
    value = json.loads(environment[contract.ENV_PARAMETERS])["lr"]
    result = {"status": "done", "metrics": {"val_loss": {"value": value}}}
    open_store(environment[contract.ENV_STORE]).write(contract.RESULT, json.dumps(result).encode())
    return contract.EXIT_DONE
