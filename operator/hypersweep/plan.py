"""What to record and do next, from what a sweep's journal says and what is alive: the one decision."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from hypersweep import goal, model, strategy, verdict
from hypersweep.api import SweepSpec
from hypersweep.goal import SweepPhase
from hypersweep.journal import Fact, History, Launched, Stopped
from hypersweep.runner import Evidence, Key, Live, Order, Phase
from hypersweep.trial import End, Status, Suggestion, Trial
from hypersweep.verdict import FAILURES, PROGRESS_TIMEOUT, START_TIMEOUT

KEPT_FAILURES = 5  # failed attempts whose remains stay for people to look at
TELLING = (End.ERROR, End.CONFIG, End.TIMEOUT, End.NO_METRICS)  # of the others nobody is to blame
FIRST_BACKOFF = timedelta(seconds=10)
LONGEST_BACKOFF = timedelta(minutes=10)


@dataclass(frozen=True)
class Plan:
    """`record` is written first; then launches, then stops and removals: each may be done twice."""

    history: History  # after `record`
    record: tuple[Fact, ...] = ()
    launch: tuple[Order, ...] = ()
    stop: tuple[Key, ...] = ()
    forget: tuple[Key, ...] = ()
    strays: tuple[Key, ...] = ()  # exist, but no launch names them
    phase: SweepPhase = SweepPhase.RUNNING
    reason: str = ""
    message: str = ""
    wake_at: datetime | None = None


def plan(
    spec: SweepSpec, history: History, live: Mapping[Key, Live], now: datetime, writes: int = 20
) -> Plan:
    """Decide what to record, launch, stop and forget next; the same input always gives the same plan."""
    record: list[Fact] = []

    def add(facts: list[Fact]) -> None:
        nonlocal history
        record.extend(facts)
        history = history.fold(facts)

    def add_ends() -> None:
        seen = _unrecorded(history, live)
        add([fact for attempt in seen if (fact := verdict.ended(spec, history, attempt, now))])

    add_ends()
    while decision := strategy.decide(spec, history, now):
        add([decision])
    aim = goal.find(spec, history, _unrecorded(history, live), now)
    stops = [
        Stopped(now, *attempt.key, reason)
        for attempt in _unrecorded(history, live)
        if history.trials[attempt.trial].last.stop is None
        and (reason := aim.halt or _overdue(spec, attempt, now))
    ]
    add(list(stops))
    add_ends()
    orders = [] if aim.halt else _recreated(spec, history, live)[:writes]
    launches = _launches(spec, history, live, now, writes - len(orders)) if aim.launch else []
    for launched in launches:
        suggestion = launched.suggestion or history.trials[launched.trial].suggestion
        orders.append(_order(spec, history, (launched.trial, launched.attempt), suggestion))
    add(list(launches))
    drained = not aim.launch and not _open(history)
    aim = goal.settled(aim, history) if drained else aim
    return Plan(
        history=history,
        record=tuple(record),
        launch=tuple(orders),
        stop=tuple(_to_stop(history, live)),
        forget=tuple(_to_forget(history, live)),
        strays=tuple(key for key in sorted(live) if not _known(history, key)),
        phase=aim.phase if drained else SweepPhase.RUNNING,
        reason=aim.reason,
        message=aim.message,
        wake_at=_wake_at(spec, history, live, now),
    )


def _known(history: History, key: Key) -> bool:
    trial = history.trials.get(key[0])
    return trial is not None and key[1] < len(trial.attempts)


def _current(history: History, key: Key) -> bool:
    """Whether an attempt is launched and its end is not recorded: only the newest of a trial can be."""
    trial = history.trials.get(key[0])
    return trial is not None and key[1] == trial.last.number and trial.last.end is None


def _unrecorded(history: History, live: Mapping[Key, Live]) -> list[Live]:
    return [live[key] for key in sorted(live) if _current(history, key)]


def _open(history: History) -> bool:
    """Whether some attempt is launched and not recorded."""
    return any(history.trials[number].last.end is None for number in history.unfinished)


def _alive(history: History, attempt: Live) -> bool:
    """Whether an attempt counts against `parallelism`: what may have a process, or will have one again."""
    if attempt.phase is Phase.ENDED:
        return False
    if attempt.phase is Phase.GONE:
        return _current(history, attempt.key) and history.trials[attempt.trial].last.stop is None
    return True


# -- launches


def _overdue(spec: SweepSpec, attempt: Live, now: datetime) -> str:
    """Why one attempt has to be stopped; empty when it may go on."""
    trial = spec.trial
    wait = trial.start_timeout
    if attempt.phase is Phase.PENDING and wait and now >= attempt.created + wait:
        return START_TIMEOUT
    since = attempt.progressed  # one that never told of any has none to miss
    if attempt.phase is not Phase.RUNNING or since is None or trial.progress_timeout is None:
        return ""
    return PROGRESS_TIMEOUT if now >= since + trial.progress_timeout else ""


def _recreated(spec: SweepSpec, history: History, live: Mapping[Key, Live]) -> list[Order]:
    """Launches that are recorded, but of which nothing exists, as far as there is room."""
    there = sum(seen.phase not in (Phase.ENDED, Phase.GONE) for seen in live.values())
    missing = [
        _order(spec, history, attempt.key, history.trials[attempt.trial].suggestion)
        for attempt in _unrecorded(history, live)
        if attempt.phase is Phase.GONE
        and attempt.evidence is Evidence.ABSENT
        and history.trials[attempt.trial].last.stop is None
    ]
    return missing[: max(spec.parallelism - there, 0)]


def _order(spec: SweepSpec, history: History, key: Key, suggestion: Suggestion) -> Order:
    return Order(*key, suggestion, model.start(spec, history, suggestion.parameters))


def _launches(
    spec: SweepSpec, history: History, live: Mapping[Key, Live], now: datetime, writes: int
) -> list[Launched]:
    """Further attempts first, then further trials, as far as there is room."""
    room = min(spec.parallelism - sum(_alive(history, attempt) for attempt in live.values()), writes)
    if room <= 0:
        return []
    waiting = [history.trials[n] for n in sorted(history.unfinished)]
    due = [t for t in waiting if t.status is Status.WAITING and retry_at(t) <= now]
    retries = [Launched(now, trial.number, len(trial.attempts)) for trial in due[:room]]
    room -= len(retries)
    if spec.max_trials is not None:
        room = min(room, spec.max_trials - history.launched)
    if not _warm(history, live):
        room = min(room, 1 - history.launched)
    if room <= 0:
        return retries
    suggestions = strategy.suggest(spec, history, room)
    return retries + [
        Launched(now, history.launched + i, 0, suggestion) for i, suggestion in enumerate(suggestions)
    ]


def _warm(history: History, live: Mapping[Key, Live]) -> bool:
    """Whether trial 0 has shown that trials of this sweep work: only then do others start."""
    if history.launched == 0:
        return False
    first = history.trials[0]
    seen = live.get((0, first.last.number))
    return history.launched > 1 or first.finished or (seen is not None and bool(seen.progress))


def retry_at(trial: Trial) -> datetime:
    """When the next attempt may start: the first retry at once, later ones after ever longer waits."""
    ended = trial.last.ended
    assert ended is not None
    failures = trial.ends(*FAILURES)
    if trial.last.end is End.SUSPENDED or failures < 2:
        return ended
    return ended + min(FIRST_BACKOFF * (1 << min(failures - 2, 10)), LONGEST_BACKOFF)


# -- removals and time


def _to_stop(history: History, live: Mapping[Key, Live]) -> Iterator[Key]:
    """Attempts with a recorded stop that nobody has asked to end yet."""
    for attempt in _unrecorded(history, live):
        if attempt.phase in (Phase.PENDING, Phase.RUNNING) and history.trials[attempt.trial].last.stop:
            yield attempt.key


def _to_forget(history: History, live: Mapping[Key, Live]) -> list[Key]:
    """What is left of recorded attempts, except for the newest failures of their own making.

    A failed Job that stays raises alerts, and what was preempted or lost is run again.
    """
    recorded = [
        (attempt, seen)
        for key, seen in sorted(live.items())
        if _known(history, key) and (attempt := history.trials[key[0]].attempts[key[1]]).end is not None
    ]
    failed = [(a.ended, seen.key) for a, seen in recorded if a.end in TELLING and seen.phase is Phase.ENDED]
    kept = {key for _, key in sorted(failed, key=lambda pair: (str(pair[0]), pair[1]))[-KEPT_FAILURES:]}
    remains = (Phase.PENDING, Phase.RUNNING, Phase.ENDED)
    return [seen.key for _, seen in recorded if seen.key not in kept and seen.phase in remains]


def _wake_at(spec: SweepSpec, history: History, live: Mapping[Key, Live], now: datetime) -> datetime | None:
    """The next moment at which time alone changes the plan."""
    trials = [] if spec.suspend else [history.trials[number] for number in history.unfinished]
    times = [retry_at(trial) for trial in trials if trial.status is Status.WAITING]
    if end := goal.wall_clock_end(spec, history):
        times.append(end)
    running = _unrecorded(history, live)
    for attempt in running:
        if attempt.phase is Phase.PENDING and spec.trial.start_timeout:
            times.append(attempt.created + spec.trial.start_timeout)
        since = attempt.progressed
        if attempt.phase is Phase.RUNNING and since is not None and spec.trial.progress_timeout:
            times.append(since + spec.trial.progress_timeout)
    if spec.budget and spec.budget.gpu_hours is not None and (gpus := sum(a.gpus for a in running)):
        left = spec.budget.gpu_hours * 3600 - history.gpu_seconds
        used = sum(a.gpus * (now - a.started).total_seconds() for a in running if a.started)
        times.append(now + timedelta(seconds=max(left - used, 1) / gpus))
    return min((time for time in times if time > now), default=None)
