"""One pass over one sweep: read, observe, plan, record, act; the same on a laptop and on a cluster."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from hypersweep import contract, model
from hypersweep.api import SweepSpec, differing_fields
from hypersweep.goal import SweepPhase
from hypersweep.journal import History, Opened, decode, encode
from hypersweep.model import Find, NoModel
from hypersweep.plan import Plan, plan
from hypersweep.runner import Conflict, Key, Live, Order, Phase, Runner
from hypersweep.store import Journal, Store, StoreRefused, Taken

T = TypeVar("T")

log = logging.getLogger(__name__)


class SweepGone(Exception):
    """The sweep does not exist any more, is being deleted, or is another one of the same name."""


def nowhere(name: str) -> str:
    """Finds no other sweep."""
    raise NoModel(f"sweep {name}", "NotFound", "is nowhere")


class SpecChanged(Exception):
    """The journal was opened with another search than the spec asks for now."""

    def __init__(self, fields: Sequence[str]) -> None:
        super().__init__(", ".join(fields))
        self.fields = tuple(fields)


@dataclass(frozen=True)
class Step:
    """What one pass saw and did."""

    plan: Plan
    live: Mapping[Key, Live]
    busy: bool = False  # another pass has work at once
    conflicts: tuple[str, ...] = ()  # names of attempts that objects of somebody else hold


@dataclass
class Sweep:
    """One sweep between two passes: its ports, and its journal folded up to `sequence`."""

    uid: str
    journal: Journal
    runner: Runner
    executor: Executor | None = None  # acts in parallel; None: in this thread
    confirm: Callable[[], bool] = lambda: True  # asked before anything is created
    store: Store | None = None  # the sweep's own prefix
    find: Find = nowhere  # the best model of another sweep
    history: History = field(default_factory=History)
    sequence: int = 0
    loaded: bool = False
    best: bytes | None = None  # `model/best.json`, as this process left it

    def step(self, spec: SweepSpec, now: datetime, writes: int = 20) -> Step:
        """One pass; at most `writes` launches and as many removals.

        Raises SweepGone, SpecChanged, NoModel before the sweep has begun, and StoreError when the journal
        cannot be read or written: then nothing was launched; or when a sweep that has succeeded could not
        name its best model yet.
        """
        self.load()
        opening = self._open(spec, now)
        history = self.history.fold(opening)
        expected = [(n, history.trials[n].last.number) for n in sorted(history.unfinished)]
        live = self.runner.observe([k for k in expected if history.trials[k[0]].last.end is None])
        decided = plan(spec, history, live, now, 0 if self.journal.full else writes)
        if decided.launch and not self.confirm():
            raise SweepGone
        if opening or decided.record:
            try:
                self.journal.append(self.sequence, encode([*opening, *decided.record]))
            except Taken:
                log.warning("another writer appended segment %d: reading again", self.sequence)
                self.loaded = False
                return Step(Plan(self.history), live, busy=True)
            self.sequence += 1
            self.history = decided.history
        conflicts = self._act(decided, writes)
        self._remove_strays(decided.strays)
        if decided.phase is SweepPhase.SUCCEEDED:
            self._name_best(spec)
        full = len(decided.launch) >= writes or len(decided.stop) + len(decided.forget) > writes
        return Step(decided, live, full, conflicts)

    def load(self) -> None:
        """Fold the segments that are not folded yet; only a first pass or another writer's asks for it."""
        if self.loaded:
            return
        for segment in self.journal.since(self.sequence):
            try:
                self.history = self.history.fold(decode(segment))
            except (ValueError, TypeError, LookupError, AssertionError) as error:
                what = f"segment {self.sequence} of the journal cannot be read: {error}"
                raise StoreRefused(what) from error
            self.sequence += 1
        self.loaded = True

    def _open(self, spec: SweepSpec, now: datetime) -> list[Opened]:
        search = spec.search_document()
        if self.history.opened is None:
            return [Opened(now, search, self.uid, model.located(spec, self.find))]
        if fields := differing_fields(dict(self.history.opened.spec), search):
            raise SpecChanged(fields)
        return []

    def _name_best(self, spec: SweepSpec) -> None:
        """Before anybody is told of the success: who hears of it may look for the model."""
        best = model.best(spec, self.history)
        if self.store is not None and best is not None and best != self.best:
            self.store.write(contract.BEST, best)
            self.best = best

    def _act(self, decided: Plan, writes: int) -> tuple[str, ...]:
        conflicts: list[str] = []

        def launch(order: Order) -> None:
            try:
                self.runner.launch(order)
            except Conflict as conflict:
                conflicts.append(str(conflict))

        self._each(launch, decided.launch)
        self._each(self.runner.stop, decided.stop[:writes])
        self._each(self.runner.forget, decided.forget[: max(writes - len(decided.stop), 0)])
        return tuple(conflicts)

    def _each(self, action: Callable[[T], None], items: Iterable[T]) -> None:
        """Do all of it, also when one fails; then raise the first failure."""
        if self.executor is None:
            for item in items:
                action(item)
            return
        futures = [self.executor.submit(action, item) for item in items]
        errors = [error for future in futures if (error := future.exception())]
        if errors:
            raise errors[0]

    def _remove_strays(self, strays: Iterable[Key]) -> None:
        """Delete attempts that no launch names, after the journal's tail was read once more."""
        if not strays:
            return
        self.loaded = False
        self.load()
        for trial, attempt in strays:
            known = self.history.trials.get(trial)
            if known is None or attempt >= len(known.attempts):
                log.warning("attempt %d-%d is in no journal: removing it", trial, attempt)
                self.runner.forget((trial, attempt))


def active(live: Mapping[Key, Live]) -> int:
    """How many attempts have, or may have, a process."""
    return sum(attempt.phase in (Phase.PENDING, Phase.RUNNING, Phase.STOPPING) for attempt in live.values())
