"""For training scripts of your own: the trial's parameters, and reporting metrics; imports no torch."""

import atexit
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hypersweep import contract
from hypersweep.store import Store, StoreError, open_store
from hypersweep_trainer import progress
from hypersweep_trainer.config import Goal, goals, rungs, termination_log
from hypersweep_trainer.result import reading

RHYTHM = 1.0  # seconds between two writes to the store, so that reporting every step stays cheap


def parameters() -> dict[str, Any]:
    """This trial's parameters by name, in their own types; empty outside of a trial."""
    found = json.loads(os.environ.get(contract.ENV_PARAMETERS) or "{}")
    if not isinstance(found, dict):
        raise ValueError(f"{contract.ENV_PARAMETERS}: must be a JSON object, but is {found!r}")
    return found


def report(step: int, **metrics: float) -> None:
    """Report metrics: the latest of each name counts as the trial's result once it has ended well.

    Call it as often as you like, at rising steps, on every rank: rank 0 alone reports. Where a sweep stops
    trials early, count epochs as steps. A store that does not answer is told on stderr and never stops the
    script.
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
    store = open_store(url, endpoint=endpoint, region=region) if url else None
    first = os.environ.get(contract.ENV_ATTEMPT, "0") == "0"
    reporter = Reporter(store, message, goals(os.environ), rungs(os.environ), first=first)
    atexit.register(reporter.flush)
    return reporter


class Reporter:
    """The values so far, in the termination message at once and in the store every second."""

    def __init__(
        self,
        store: Store | None,
        message: Path | None,
        goals: Sequence[Goal] = (),
        rungs: Sequence[int] = (),
        *,
        first: bool = True,  # whether the script begins: one that goes on is beyond some rungs already
    ) -> None:
        self._store, self._message, self._goals, self._rungs = store, message, goals, rungs
        self._goal = goals[0] if goals else None
        self._values: list[float] = []  # of the objective
        self._behind: int | None = 0 if first else None  # rungs up to this step are done with
        self._reached: dict[str, float | str] = {}
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
            self._message.write_text(self._whole())
        if self._reaches(step, metrics) or time.monotonic() >= self._due:
            self.flush()

    def _whole(self) -> str:
        """The termination message, which is cut where it is too long: objectives first, then what fits."""
        wanted = [goal.metric for goal in self._goals]
        kept, left = {}, contract.TERMINATION_LIMIT - len("{}\n")
        for name in sorted(self._latest, key=lambda name: name not in wanted):
            left -= len(json.dumps({name: str(self._latest[name])}))
            if left >= 0:
                kept[name] = self._latest[name]
        return _json(_plain(kept))

    def _reaches(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Whether the objective is at a rung with these metrics; its value there is kept."""
        if self._goal is None or self._goal.metric not in metrics:
            return False
        self._values.append(metrics[self._goal.metric])
        behind, self._behind = step - 1 if self._behind is None else self._behind, step
        new = [str(rung) for rung in self._rungs if behind < rung <= step]
        self._reached |= _plain(dict.fromkeys(new, reading(self._values, self._goal)))
        return bool(new)

    def flush(self) -> None:
        """Write what the store has not got yet."""
        rows, self._due = self._rows, time.monotonic() + RHYTHM
        if self._store is None or not rows:
            return
        latest = {"step": self._step, "time": time.time(), "metrics": _plain(self._latest)}
        objective = self._goal.metric if self._goal else ""
        try:
            self._store.write(contract.metrics_key(self._chunks + 1), "".join(rows).encode())
            self._chunks, self._rows = self._chunks + 1, []
            told = progress.document(latest, self._reached, objective)
            self._store.write(contract.PROGRESS, told.encode())
        except StoreError as error:
            print(f"hypersweep: not reported yet: {error}", file=sys.stderr)


def _plain(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """JSON has neither NaN nor infinity: they go as text."""
    return {name: value if math.isfinite(value) else str(value) for name, value in metrics.items()}


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document) + "\n"
