"""What an attempt left in its part of the store: its result, and how far it came."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hypersweep import contract, model
from hypersweep.model import NoModel
from hypersweep.runner import Key, Result, parse_result
from hypersweep.store import Store


@dataclass(frozen=True)
class Report:
    """What the store holds of an attempt's end; `problem` says why a result that is there does not count."""

    result: Result | None = None
    problem: str = ""


@dataclass(frozen=True)
class Progress:
    """The latest `progress.json` of an attempt; false until it holds something."""

    step: int | None = None
    at: datetime | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.metrics) or self.step is not None


def report(store: Store, key: Key) -> Report:
    """The result of an attempt; ask only after its end was seen. Raises StoreError."""
    data = store.read(f"{contract.attempt_prefix(*key)}/{contract.RESULT}", contract.RESULT_LIMIT + 1)
    if data is None:
        return Report()
    if len(data) > contract.RESULT_LIMIT:
        return Report(problem=f"{contract.RESULT}: at most {contract.RESULT_LIMIT} bytes must hold")
    try:
        return Report(parse_result(json.loads(data)))
    except ValueError as error:
        return Report(problem=f"{contract.RESULT}: {error}")


def progress(store: Store, key: Key) -> Progress:
    """How far an attempt is. What nobody can read is no progress: it is replaced in seconds."""
    data = store.read(f"{contract.attempt_prefix(*key)}/{contract.PROGRESS}", contract.PROGRESS_LIMIT + 1)
    try:
        document = json.loads(data or b"{}")
        return Progress(
            _step(document.get("step")), _moment(document.get("time")), numbers(document["metrics"])
        )
    except (ValueError, KeyError, AttributeError, OverflowError, OSError):  # a time may be beyond years
        return Progress()


def best_model(store: Store) -> str | None:
    """The URL of the best model of the sweep whose own prefix this is. Raises StoreError and NoModel."""
    data = store.read(contract.BEST, contract.BEST_LIMIT)
    try:
        return None if data is None else f"{store.url}/{model.folder(data)}"
    except ValueError as error:
        raise NoModel(f"{store.url}/{contract.BEST}", "Unreadable", f"cannot be read: {error}") from error


def numbers(document: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the values of an object."""
    return {
        str(name): float(value)
        for name, value in document.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _step(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value).astimezone()
    return datetime.fromisoformat(value).astimezone() if isinstance(value, str) else None
