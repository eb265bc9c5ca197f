"""The facts of one sweep, their JSON lines, and the history that they fold into."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Self

from hypersweep.trial import Attempt, Checks, End, Slot, Status, Suggestion, Trial


@dataclass(frozen=True)
class Opened:
    """The first fact: what the sweep searches, resolved; none of it may change later."""

    at: datetime
    spec: Mapping[str, Any]
    uid: str
    models: Mapping[str, str] = field(default_factory=dict)  # of other sweeps, as named: where each lies


@dataclass(frozen=True)
class Launched:
    """An attempt may exist from here on; only the first one carries the suggestion."""

    at: datetime
    trial: int
    attempt: int
    suggestion: Suggestion | None = None


@dataclass(frozen=True)
class Stopped:
    """An attempt is asked to end; its `Ended` follows when it is gone."""

    at: datetime
    trial: int
    attempt: int
    reason: str


@dataclass(frozen=True)
class Ended:
    """The one record of how an attempt ended; `final` says that the trial ended with it."""

    at: datetime
    trial: int
    attempt: int
    end: End
    final: bool
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    started: datetime | None = None
    finished: datetime | None = None  # when its processes were gone, as far as the world says
    gpu_seconds: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)  # of the metrics; steps
    checks: Checks | None = None  # of the sweep's first trial
    resolved: Mapping[str, Any] = field(default_factory=dict)  # what a replicate 0 found for itself


@dataclass(frozen=True)
class Decided:
    """A decision of a strategy: what was compared, and what is held from here on."""

    at: datetime
    stage: int
    name: str  # of the stage, as people read it
    kind: str  # which decision within the stage, unique with `stage` and `round`
    round: int
    parameters: Mapping[str, Any]  # the incumbent after it
    adopted: bool
    why: str
    numbers: Mapping[str, Any] = field(default_factory=dict)  # arms, n, intervals, cost


Fact = Opened | Launched | Stopped | Ended | Decided

KINDS: dict[str, type[Fact]] = {kind.__name__: kind for kind in (Opened, Launched, Stopped, Ended, Decided)}
TIMES = ("at", "started", "finished")


def encode(facts: Iterable[Fact]) -> bytes:
    """One JSON line per fact."""
    return b"".join(_line(fact) for fact in facts)


def _line(fact: Fact) -> bytes:
    document = {"fact": type(fact).__name__} | _shallow(fact, (None, {}, ""))
    for name in TIMES:
        if name in document:
            document[name] = document[name].isoformat()
    if suggestion := document.get("suggestion"):
        document["suggestion"] = _shallow(suggestion, (None,))
        if slot := suggestion.slot:
            document["suggestion"]["slot"] = _shallow(slot)
    if checks := document.get("checks"):
        document["checks"] = _shallow(checks, ((), ""))
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _shallow(value: Any, left_out: Sequence[Any] = ()) -> dict[str, Any]:
    """The fields of a dataclass; `asdict` would copy what they hold, at several times the cost."""
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: held for name, held in found.items() if held not in left_out}


def decode(data: bytes) -> list[Fact]:
    """The facts of a segment; raises ValueError on one that this version does not know."""
    return [_fact(json.loads(line)) for line in data.splitlines()]


def _fact(document: dict[str, Any]) -> Fact:
    name = document.pop("fact", None)
    if name not in KINDS:
        raise ValueError(f"journal: the fact {name!r} is unknown to this version")
    for time in TIMES:
        if time in document:
            document[time] = datetime.fromisoformat(document[time])
    if suggestion := document.get("suggestion"):
        if slot := suggestion.get("slot"):
            suggestion["slot"] = Slot(**slot)
        suggestion["parameters"] = _parameters(suggestion["parameters"])
        document["suggestion"] = Suggestion(**suggestion)
    if "parameters" in document:
        document["parameters"] = _parameters(document["parameters"])
    if "end" in document:
        document["end"] = End(document["end"])
    if checks := document.get("checks"):
        document["checks"] = Checks(**{name: _value(value) for name, value in checks.items()})
    return KINDS[name](**document)


def _parameters(document: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the core holds them: JSON has no tuples."""
    return {name: _value(value) for name, value in document.items()}


def _value(value: Any) -> Any:
    return tuple(map(_value, value)) if isinstance(value, list) else value


OUTCOME = {End.DONE: Status.DONE, End.INFEASIBLE: Status.INFEASIBLE, End.STOPPED: Status.STOPPED}


@dataclass(frozen=True)
class History:
    """Everything that a journal says, folded; a value: folding more facts gives another one."""

    opened: Opened | None = None
    trials: Mapping[int, Trial] = field(default_factory=dict)
    unfinished: frozenset[int] = frozenset()
    slots: Mapping[Slot, int] = field(default_factory=dict)
    decisions: tuple[Decided, ...] = ()
    counts: Mapping[Status, int] = field(default_factory=dict)  # of finished trials
    ends: Mapping[End, int] = field(default_factory=dict)  # of attempts
    gpu_seconds: float = 0.0

    @property
    def launched(self) -> int:
        """How many trials there are, which is also the next free number."""
        return len(self.trials)

    def at(self, slot: Slot) -> Trial | None:
        number = self.slots.get(slot)
        return None if number is None else self.trials[number]

    def fold(self, facts: Iterable[Fact]) -> Self:
        """The history after `facts`; a fact that contradicts it is a bug or a corrupt journal."""
        fold = _Fold(self)
        for fact in facts:
            fold.add(fact)
        return replace(
            self,
            opened=fold.opened,
            trials=fold.trials,
            unfinished=frozenset(fold.unfinished),
            slots=fold.slots,
            decisions=tuple(fold.decisions),
            counts=fold.counts,
            ends=fold.ends,
            gpu_seconds=fold.gpu_seconds,
        )


class _Fold:
    """The mutable state of one `History.fold`."""

    def __init__(self, history: History) -> None:
        self.opened = history.opened
        self.trials = dict(history.trials)
        self.unfinished = set(history.unfinished)
        self.slots = dict(history.slots)
        self.decisions = list(history.decisions)
        self.counts = dict(history.counts)
        self.ends = dict(history.ends)
        self.gpu_seconds = history.gpu_seconds

    def add(self, fact: Fact) -> None:
        match fact:
            case Opened():
                assert self.opened is None, "journal: opened twice"
                self.opened = fact
            case Launched():
                self._launch(fact)
            case Stopped():
                attempt = self._attempt(fact.trial, fact.attempt)
                self._put(fact.trial, replace(attempt, stop=fact.reason), Status.RUNNING)
            case Ended():
                self._end(fact)
            case Decided():
                self.decisions.append(fact)

    def _launch(self, fact: Launched) -> None:
        attempt = Attempt(fact.attempt, fact.at)
        if fact.suggestion is None:
            trial = self.trials[fact.trial]
            assert fact.attempt == len(trial.attempts), f"journal: trial {fact.trial} skips an attempt"
            attempts = (*trial.attempts, attempt)
            self.trials[fact.trial] = replace(trial, attempts=attempts, status=Status.RUNNING)
            return
        assert fact.trial == len(self.trials), f"journal: trial {fact.trial} is not the next one"
        self.trials[fact.trial] = Trial(fact.trial, fact.suggestion, (attempt,))
        self.unfinished.add(fact.trial)
        if fact.suggestion.slot is not None:
            assert fact.suggestion.slot not in self.slots, f"journal: {fact.suggestion.slot} is filled twice"
            self.slots[fact.suggestion.slot] = fact.trial

    def _end(self, fact: Ended) -> None:
        attempt = self._attempt(fact.trial, fact.attempt)
        assert attempt.end is None, f"journal: attempt {fact.trial}-{fact.attempt} ended twice"
        ended = replace(
            attempt,
            end=fact.end,
            ended=fact.at,
            started=fact.started,
            finished=fact.finished,
            reason=fact.reason,
            gpu_seconds=fact.gpu_seconds,
        )
        status = OUTCOME.get(fact.end, Status.FAILED) if fact.final else Status.WAITING
        self._put(fact.trial, ended, status)
        self.ends[fact.end] = self.ends.get(fact.end, 0) + 1
        self.gpu_seconds += fact.gpu_seconds
        if fact.checks is not None:
            self.trials[fact.trial] = replace(self.trials[fact.trial], checks=fact.checks)
        if fact.final:
            told = self.trials[fact.trial]
            self.trials[fact.trial] = replace(told, metrics=fact.metrics, resolved=fact.resolved or None)
            self.unfinished.discard(fact.trial)
            self.counts[status] = self.counts.get(status, 0) + 1

    def _attempt(self, trial: int, attempt: int) -> Attempt:
        last = self.trials[trial].last
        assert last.number == attempt, f"journal: attempt {trial}-{attempt} is not the newest of its trial"
        return last

    def _put(self, number: int, attempt: Attempt, status: Status) -> None:
        trial = self.trials[number]
        self.trials[number] = replace(trial, attempts=(*trial.attempts[:-1], attempt), status=status)
