"""The runner on this machine: each attempt is a turn in a worker process, or processes of its own."""

import json
import secrets
import signal
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hypersweep import contract, evidence, job
from hypersweep.api import SweepSpec
from hypersweep.command import commands, grace, variables
from hypersweep.evidence import Progress, Report
from hypersweep.pool import Pool, Pooled
from hypersweep.process import Execution, Guard, Processes
from hypersweep.runner import Evidence, Exit, Key, Live, Order, Phase, Result, parse_message
from hypersweep.store import Store, StoreError
from hypersweep.trial import Parameters

EXITS = {
    contract.EXIT_DONE: Exit.COMPLETE,
    contract.EXIT_CONFIG: Exit.CONFIG,
    contract.EXIT_STOPPED: Exit.CHECKPOINTED,
}
FROM_OUTSIDE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # SIGKILL: most likely memory ran out
TOLD = (0, 1, 75, 78, 143)  # ends of the built-in trainer after which it has written its own log
AFTER_START = {Phase.PENDING: Phase.RUNNING, Phase.STOPPING: Phase.STOPPING}
TEXT = 1024  # characters of one cause


@dataclass(frozen=True)
class Place:
    """Where the trials of a sweep run and write."""

    store: Store  # the sweep's own prefix
    folder: Path  # of the manifest: commands run here
    scratch: Path  # removed when the sweep's process ends
    inherited: Mapping[str, str] = field(default_factory=dict)  # environment of commands
    endpoint: str | None = None
    region: str | None = None


@dataclass
class _Attempt:
    """One attempt of this process; `live` is replaced under the runner's lock."""

    order: Order
    execution: Execution
    live: Live
    message: Path  # where its termination message goes
    own_log: bool  # whether it writes log.txt itself
    timers: list[threading.Timer] = field(default_factory=list)
    timed_out: bool = False


class LocalRunner:
    """The attempts of one sweep as processes under this one; none outlives it."""

    def __init__(
        self,
        spec: SweepSpec,
        sweep: str,
        uid: str,
        place: Place,
        guard: Guard,
        pool: Pool,
        wake: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`wake` is called from other threads whenever `observe` would tell something new."""
        trial = spec.trial
        self._in_workers = trial.command is None and trial.nodes * trial.ranks_per_node == 1
        self._spec = spec
        self._sweep = sweep
        self._uid = uid
        self._place = place
        self._guard = guard
        self._pool = pool
        self._wake = wake
        self._now = now
        self._attempts: dict[Key, _Attempt] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._reading: threading.Thread | None = None
        self._running: list[threading.Thread] = []

    # -- the port

    def observe(self, expected: Collection[Key]) -> Mapping[Key, Live]:
        with self._lock:
            seen = {key: attempt.live for key, attempt in self._attempts.items()}
        for key, live in seen.items():
            if live.phase is Phase.ENDED and live.evidence is Evidence.UNKNOWN:
                seen[key] = self._looked(self._attempts[key])
        return seen | {key: self._gone(key) for key in expected if key not in seen}

    def launch(self, order: Order) -> None:
        key = (order.trial, order.attempt)
        if key in self._attempts:
            return
        message = self._place.scratch / f"{order.trial}-{order.attempt}"
        message.unlink(missing_ok=True)
        execution, own_log = self._execution(order, message)
        live = Live(*key, phase=Phase.PENDING, created=self._now())
        attempt = _Attempt(order, execution, live, message, own_log)
        with self._lock:
            self._attempts[key] = attempt
        self._running = [thread for thread in self._running if thread.is_alive()]
        self._running.append(threading.Thread(target=self._run, args=(attempt,), daemon=True))
        self._running[-1].start()
        if self._reading is None:
            self._reading = threading.Thread(target=self._read, daemon=True)
            self._reading.start()

    def stop(self, key: Key) -> None:
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.live.phase in (Phase.PENDING, Phase.RUNNING):
            self._change(attempt, _stopping)
            self._end(attempt)

    def forget(self, key: Key) -> None:
        attempt = self._attempts.get(key)
        if attempt is None:
            return
        if attempt.live.phase is not Phase.ENDED:
            attempt.execution.kill()
            return
        with self._lock:
            del self._attempts[key]
        attempt.message.unlink(missing_ok=True)

    # -- beyond the port

    def warm(self) -> None:
        """Start the workers that trials will take turns in: it takes them seconds to be ready."""
        if self._in_workers:
            self._pool.warm(self._spec.parallelism, threads(self._spec, {}))

    def said(self, key: Key) -> str:
        """The latest line that an attempt printed."""
        attempt = self._attempts.get(key)
        return attempt.execution.log.last_line if attempt else ""

    @property
    def unknown(self) -> bool:
        """Whether the store has yet to tell how an attempt ended: looking again is all that helps."""
        with self._lock:
            lives = [attempt.live for attempt in self._attempts.values()]
        return any(live.phase is Phase.ENDED and live.evidence is Evidence.UNKNOWN for live in lives)

    def close(self) -> None:
        """Kill what still runs, and write what is left to write."""
        self._closed.set()
        for attempt in list(self._attempts.values()):
            if attempt.live.phase is not Phase.ENDED:
                attempt.execution.kill()
        for thread in self._running:
            thread.join(5.0)

    # -- an attempt's life, in a thread of its own

    def _execution(self, order: Order, message: Path) -> tuple[Execution, bool]:
        place, spec = self._place, self._spec
        environment = job.environment(
            spec,
            self._sweep,
            self._uid,
            order,
            store_url=place.store.url,
            endpoint=place.endpoint,
            region=place.region,
        ) | {contract.ENV_TERMINATION_LOG: str(message), contract.ENV_POD_UID: secrets.token_hex(8)}
        if self._in_workers:
            count = threads(spec, order.suggestion.parameters)
            return Pooled(self._pool, count, variables(spec.trial, environment)), True
        ours = spec.trial.command is None  # where its data lies does not depend on the number of ranks
        processes = commands(spec, environment, place.inherited, Path.cwd() if ours else place.folder)
        return Processes(self._guard, processes), ours

    def _run(self, attempt: _Attempt) -> None:
        try:
            status, problem = attempt.execution.run(lambda: self._started(attempt)), ""
        except OSError as error:  # no process, memory or descriptor is left
            status, problem = contract.EXIT_ERROR, f"cannot start a process: {error.strerror}"
        for timer in attempt.timers:
            timer.cancel()
        said = EXITS.get(status, Exit.LOST if _from_outside(status) else Exit.ERROR)
        cause = "" if said is Exit.COMPLETE else problem or _cause(status, attempt)
        said = Exit.TIMEOUT if attempt.timed_out else said
        ended = self._now()
        self._change(
            attempt, lambda live: replace(live, phase=Phase.ENDED, ended=ended, exit=said, cause=cause)
        )
        self._looked(attempt)
        self._wake()
        if not (attempt.own_log and status in TOLD) and attempt.execution.log.data:
            name = f"{contract.attempt_prefix(*attempt.live.key)}/{contract.LOG}"
            with suppress(StoreError):  # of a log nothing depends
                self._place.store.write(name, attempt.execution.log.data)

    def _started(self, attempt: _Attempt) -> None:
        now = self._now()
        self._change(attempt, lambda live: replace(live, phase=AFTER_START[live.phase], started=now))
        if self._spec.trial.timeout is not None:
            self._after(attempt, self._spec.trial.timeout.total_seconds(), self._time_out)

    def _time_out(self, attempt: _Attempt) -> None:
        attempt.timed_out = True
        self._end(attempt)

    def _end(self, attempt: _Attempt) -> None:
        """Ask, and after the grace that a pod would get do not ask any more."""
        attempt.execution.terminate()
        self._after(attempt, grace(self._spec.trial), lambda attempt: attempt.execution.kill())

    def _after(self, attempt: _Attempt, seconds: float, action: Callable[[_Attempt], None]) -> None:
        timer = threading.Timer(seconds, action, args=(attempt,))
        timer.daemon = True
        attempt.timers.append(timer)
        timer.start()

    def _change(self, attempt: _Attempt, change: Callable[[Live], Live]) -> Live:
        with self._lock:
            attempt.live = change(attempt.live)
            return attempt.live

    # -- what it left

    def _looked(self, attempt: _Attempt) -> Live:
        """Find out whether an attempt that is over left a result; unknown while the store does not answer."""
        live = attempt.live
        try:
            found = evidence.report(self._place.store, live.key)
            done = live.exit is Exit.COMPLETE
            last = Progress() if done else evidence.progress(self._place.store, live.key)
        except StoreError:
            return live
        result = found.result
        if result is None and done:
            result = _message(attempt.message)
        told = replace(_told(live, replace(found, result=result)), step=last.step or live.step)
        return self._change(attempt, lambda _: told)

    def _gone(self, key: Key) -> Live:
        """An attempt of an earlier process: it ended with that one."""
        live = Live(*key, phase=Phase.GONE, created=self._now(), exit=Exit.LOST)
        live = replace(live, cause="the process that ran it is gone")
        try:
            return _told(live, evidence.report(self._place.store, key))
        except StoreError:
            return live

    def _read(self) -> None:
        """Follow how far running attempts are."""
        rhythm = 0.5 if self._place.store.url.startswith("file:") else 3.0
        while not self._closed.wait(rhythm):
            for attempt in list(self._attempts.values()):
                if attempt.live.phase is Phase.RUNNING:
                    self._follow(attempt)

    def _follow(self, attempt: _Attempt) -> None:
        try:
            found = evidence.progress(self._place.store, attempt.live.key)
        except StoreError:  # a trial that cannot be heard is not silent
            now = self._now()
            self._change(attempt, lambda live: replace(live, progressed=now) if live.progressed else live)
            return
        if not found and (said := _message(attempt.message)):
            found = Progress(metrics={name: metric.value for name, metric in said.metrics.items()})
        at = found.at or self._now()

        def follow(live: Live) -> Live:
            same = (found.step, found.metrics) == (live.step, live.progress)
            if same or live.phase is not Phase.RUNNING:
                return live
            return replace(live, step=found.step, progress=found.metrics, progressed=at)

        before = attempt.live
        if self._change(attempt, follow) is not before:
            self._wake()


def threads(spec: SweepSpec, parameters: Parameters) -> int:
    """How many threads the built-in trainer computes with: what a worker cannot change once it has begun."""
    value = parameters.get("threads", (spec.trainer or {}).get("threads", 1))
    return value if isinstance(value, int) else 1


def _stopping(live: Live) -> Live:
    """Unless it ended in this very moment."""
    return live if live.phase is Phase.ENDED else replace(live, phase=Phase.STOPPING)


def _told(live: Live, found: Report) -> Live:
    """An attempt that is over, with what it left."""
    there = Evidence.ABSENT if found.result is None else Evidence.THERE
    cause = "; ".join(text for text in (live.cause, found.problem) if text)
    return replace(live, evidence=there, result=found.result, cause=cause)


def _message(path: Path) -> Result | None:
    """The numbers of a termination message, as far as it has any."""
    try:
        return parse_message(json.loads(path.read_bytes()[: contract.TERMINATION_LIMIT]))
    except (OSError, ValueError):
        return None


def _from_outside(status: int) -> bool:
    """Whether somebody asked the process to end, as shells and Python report it."""
    return any(status in (-number, 128 + number) for number in FROM_OUTSIDE)


def _cause(status: int, attempt: _Attempt) -> str:
    """How it ended and the last that it said: as message, else as output."""
    how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    said = ""
    with suppress(OSError):
        said = attempt.message.read_text(errors="replace")[: contract.TERMINATION_LIMIT].strip()
    if not said or said.startswith("{"):
        said = attempt.execution.log.last_line
    return f"{how}: {said}"[:TEXT] if said else how
