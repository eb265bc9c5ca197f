"""For training scripts of your own: the trial's parameters, and reporting metrics; imports no torch."""

import atexit
import json
import math
import os
import sys
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hypersweep import contract
from hypersweep.store import Store, StoreError, open_store
from hypersweep_trainer.config import termination_log

RHYTHM = 1.0  # seconds between two writes to the store, so that reporting every step stays cheap


def parameters() -> dict[str, Any]:
    """This trial's parameters by name, in their own types; empty outside of a trial."""
    found = json.loads(os.environ.get(contract.ENV_PARAMETERS) or "{}")
    if not isinstance(found, dict):
        raise ValueError(f"{contract.ENV_PARAMETERS}: must be a JSON object, but is {found!r}")
    return found


def report(step: int, **metrics: float) -> None:
    """Report metrics: the latest of each name counts as the trial's result once it has ended well.

    Call it as often as you like, at rising steps, on every rank: rank 0 alone reports. A store that
    does not answer is told on stderr and never stops the script.
    """
    numbers = {name: float(value) for name, value in metrics.items()}  # tensors and numpy scalars, too
    if _first_rank():
        _reporter().report(int(step), numbers)


def _first_rank() -> bool:
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "PET_NODE_RANK"))


@cache
def _reporter() -> "Reporter":
    message = termination_log(os.environ)
    url = os.environ.get(contract.ENV_STORE)
    endpoint, region = (
        os.environ.get(name) or None for name in (contract.ENV_STORE_ENDPOINT, contract.ENV_STORE_REGION)
    )
    reporter = Reporter(open_store(url, endpoint=endpoint, region=region) if url else None, message)
    atexit.register(reporter.flush)
    return reporter


class Reporter:
    """The values so far, in the termination message at once and in the store every second."""

    def __init__(self, store: Store | None, message: Path | None) -> None:
        self._store, self._message = store, message
        self._latest: dict[str, float] = {}
        self._step = 0
        self._rows: list[str] = []
        self._chunks = 0
        self._due = 0.0

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        self._step = step
        self._latest.update(metrics)
        self._rows.append(_json({"step": step, "time": time.time(), "metrics": _plain(metrics)}))
        if self._message is not None:
            self._message.write_text(_json(_plain(self._latest)))
        if time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Write what the store has not got yet."""
        rows, self._due = self._rows, time.monotonic() + RHYTHM
        if self._store is None or not rows:
            return
        progress = {"step": self._step, "time": time.time(), "metrics": _plain(self._latest)}
        try:
            self._store.write(contract.metrics_key(self._chunks + 1), "".join(rows).encode())
            self._chunks, self._rows = self._chunks + 1, []
            self._store.write(contract.PROGRESS, _json(progress).encode())
        except StoreError as error:
            print(f"hypersweep: not reported yet: {error}", file=sys.stderr)


def _plain(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """JSON has neither NaN nor infinity: they go as text."""
    return {name: value if math.isfinite(value) else str(value) for name, value in metrics.items()}


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document) + "\n"
