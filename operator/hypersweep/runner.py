"""The port between a sweep and where its trials run: what is alive, launch, stop, forget."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from hypersweep.trial import Checks, Suggestion

Key = tuple[int, int]  # trial, attempt

ADVICE = "hints"  # the check that says of a configuration what experience says of all like it
SENTENCE = 300  # characters of what one check says
SENTENCES = 20  # checks of one verdict that are told
TOLD = 1024  # characters of a message about checks


class Phase(StrEnum):
    """Where an attempt stands in its life."""

    PENDING = "Pending"  # exists, no process yet
    RUNNING = "Running"
    STOPPING = "Stopping"  # deletion was asked for; it still counts as alive
    ENDED = "Ended"  # all of its processes are gone
    GONE = "Gone"  # expected, but nothing of it exists: never started, or removed by somebody


class Exit(StrEnum):
    """What the world says of an attempt that ended, before any result is looked at."""

    COMPLETE = "Complete"
    ERROR = "Error"
    CONFIG = "Config"  # exit status 78
    CHECKPOINTED = "Checkpointed"  # exit status 75
    PREEMPTED = "Preempted"
    TIMEOUT = "Timeout"
    LOST = "Lost"  # killed from outside, its node vanished, or deleted by somebody


class Evidence(StrEnum):
    """Whether an ended attempt left a result: only a read begun after its end may say absent."""

    UNKNOWN = "Unknown"
    ABSENT = "Absent"
    THERE = "There"


@dataclass(frozen=True)
class Metric:
    """One metric of a result; `value` is what the objective's `at` asks for."""

    value: float
    last: float | None = None
    best: float | None = None
    best_step: int | None = None


@dataclass(frozen=True)
class Result:
    """A trial's own word: `result.json`, or a termination message of plain numbers."""

    status: str  # done | infeasible | failed
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    reason: str = ""
    steps: int | None = None
    resumed_from: int | None = None
    checks: Checks | None = None  # None: it ran none, or does not tell
    resolved: Mapping[str, Any] = field(default_factory=dict)  # the configuration with all defaults


@dataclass(frozen=True)
class Live:
    """One attempt as it is now."""

    trial: int
    attempt: int
    phase: Phase
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    exit: Exit | None = None
    cause: str = ""  # exit status, reason and message, as people read it
    evidence: Evidence = Evidence.UNKNOWN
    result: Result | None = None
    step: int | None = None  # of the latest progress
    progress: Mapping[str, float] = field(default_factory=dict)
    progressed: datetime | None = None  # when the latest progress was made
    gpus: int = 0

    @property
    def key(self) -> Key:
        return (self.trial, self.attempt)


@dataclass(frozen=True)
class Order:
    """An attempt to start: recorded already, so that starting it twice must give one."""

    trial: int
    attempt: int
    suggestion: Suggestion
    pretrained: str | None = None  # the URL of the model that it starts from


class Conflict(Exception):
    """An attempt's name is taken by an object that is not the sweep's."""


class Runner(Protocol):
    """Where the attempts of one sweep run."""

    def observe(self, expected: Collection[Key]) -> Mapping[Key, Live]:
        """Every attempt that exists, alive or ended and not forgotten, and every expected one.

        An attempt launched through this runner shows at once. An expected one of which nothing exists
        is GONE, with evidence of whether it left a result: the journal says that it was launched,
        and whether it is launched again or recorded depends on that.
        """

    def launch(self, order: Order) -> None:
        """Start an attempt; one that exists already is left as it is. Raises Conflict."""

    def stop(self, key: Key) -> None:
        """Ask an attempt to end; it stays observable until it is gone."""

    def forget(self, key: Key) -> None:
        """Remove what is left of an attempt whose end is recorded."""


def parse_result(document: Any) -> Result:
    """A `result.json` (read leniently: numbers may be strings); raises ValueError on anything else."""
    if not isinstance(document, dict) or document.get("status") not in ("done", "infeasible", "failed"):
        raise ValueError("a result is an object with `status`: done, infeasible or failed")
    entries = document.get("metrics") or {}
    if not isinstance(entries, dict):
        raise ValueError("`metrics` of a result is an object, by name")
    metrics = {}
    for name, entry in entries.items():
        fields = entry if isinstance(entry, dict) else {"last": entry}
        last, best = (_number(fields.get(key)) for key in ("last", "best"))
        value = _number(fields.get("value", fields.get("last")))
        if value is not None:
            metrics[name] = Metric(value, last, best, _count(fields.get("bestStep")))
    return Result(
        document["status"],
        metrics,
        str(document.get("reason") or ""),
        _count(document.get("steps")),
        _count(document.get("resumedFrom")),
        _checks(document.get("checks")),
        _object(document.get("resolved")),
    )


def parse_message(document: Any) -> Result:
    """A termination message: one flat JSON object of numbers; raises ValueError on anything else.

    Of the built-in trainer it may also hold `reason` and `checks` (the sentences of failed ones) as texts,
    and `resolved` as an object.
    """
    if not isinstance(document, dict) or not document:
        raise ValueError("a termination message is a flat JSON object of numbers")
    metrics = {name: number for name, value in document.items() if (number := _number(value)) is not None}
    if not metrics:
        raise ValueError("a termination message holds at least one number")
    reason, checks = (_text(document, name) for name in ("reason", "checks"))
    return Result(
        "done",
        {name: Metric(number, last=number) for name, number in metrics.items()},
        reason or "",
        checks=None if checks is None else Checks(failed=(checks[:TOLD],) if checks else ()),
        resolved=_object(document.get("resolved")),
    )


def _checks(document: Any) -> Checks | None:
    """The verdicts of checks, as far as they can be read: for them no result is refused."""
    entries = {name: entry for name, entry in _object(document).items() if isinstance(entry, dict)}
    if not entries:
        return None
    advice = entries.pop(ADVICE, {})
    said: dict[str, list[str]] = {"ok": [], "hint": [], "fail": []}
    for name, entry in entries.items():
        words = f"{name}: {entry['words']}" if entry.get("words") else name
        said.setdefault(str(entry.get("verdict")), []).append(words[:SENTENCE])
    return Checks(
        len(said["ok"]),
        tuple(said["fail"][:SENTENCES]),
        tuple(said["hint"][:SENTENCES]),
        str(advice.get("words") or "")[:TOLD] if advice.get("verdict") == "hint" else "",
    )


def _object(document: Any) -> dict[str, Any]:
    return document if isinstance(document, dict) else {}


def _text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and math.isfinite(number) else None
