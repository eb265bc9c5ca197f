"""What a trial leaves: lines, metric chunks, progress, log, environment, result; rank 0 alone writes."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hypersweep import contract
from hypersweep.store import Store
from hypersweep_trainer import progress
from hypersweep_trainer.config import Config
from hypersweep_trainer.environment import software
from hypersweep_trainer.result import Outcome, document, message, rungs
from hypersweep_trainer.writer import Writer

RHYTHM = 10.0  # seconds between two chunks of metrics, each with a progress document
TERMINATED = 128 + 15  # the status of a process that SIGTERM ended


class Output(Protocol):
    """Where a run reports while it trains."""

    def say(self, line: str) -> None:
        """A line for people."""

    def describe(self, **facts: Any) -> None:
        """What the run stands on: device, data, ranks."""

    def settle(self, config: Config) -> None:
        """What the run is asked for, as far as the data and `auto` have made it by now."""

    def check(self, verdicts: Mapping[str, Mapping[str, Any]]) -> None:
        """What the checks before training say."""

    def begin(self, rows: Sequence[Mapping[str, Any]], resumed_from: int | None) -> None:
        """The epochs that earlier attempts measured, and the step they came to."""

    def beat(self, step: int) -> None:
        """A sign of life between two rows."""

    def row(self, row: Mapping[str, Any]) -> None:
        """Metrics: step, time, metrics, how the run goes (rate, gradient, speed), and the epoch it ends."""

    def keep(self) -> None:
        """Hand in the rows so far: a checkpoint that follows is never written before them."""

    def note(self, key: str, document: Mapping[str, Any]) -> None:
        """A document that later attempts read."""


class Silence:
    """The output of ranks that only compute."""

    def say(self, line: str) -> None:
        pass

    def describe(self, **facts: Any) -> None:
        pass

    def settle(self, config: Config) -> None:
        pass

    def check(self, verdicts: Mapping[str, Mapping[str, Any]]) -> None:
        pass

    def begin(self, rows: Sequence[Mapping[str, Any]], resumed_from: int | None) -> None:
        pass

    def beat(self, step: int) -> None:
        pass

    def row(self, row: Mapping[str, Any]) -> None:
        pass

    def keep(self) -> None:
        pass

    def note(self, key: str, document: Mapping[str, Any]) -> None:
        pass

    def cut_short(self, config: Config, status: str, reason: str) -> Outcome:
        """Rank 0 knows how far the run came."""
        return Outcome(config, status, reason=reason)

    def finish(self, outcome: Outcome, earlier: Callable[[], bool] = lambda: False) -> int:
        """The exit code; rank 0 knows whether anything was saved."""
        return contract.EXIT_DONE

    def fail(self, reason: str, config: Config | None = None) -> None:
        pass


class Report:
    """The output of rank 0: stdout, the termination message, and a store when there is one."""

    def __init__(self, store: Store | None, writer: Writer, termination_log: Path | None) -> None:
        self._store, self._writer, self._termination_log = store, writer, termination_log
        self._lines: list[str] = []
        self._rows: list[Mapping[str, Any]] = []  # not handed in yet
        self._chunks = 0
        self._due = time.monotonic() + RHYTHM
        self._config: Config | None = None  # of the run, once the data is known
        self._checks: Mapping[str, Mapping[str, Any]] = {}
        self._resumed: int | None = None
        self._epochs: list[Mapping[str, Any]] = []  # their rows, those of earlier attempts first
        self._latest: dict[str, Any] = {}  # the row of all latest values

    def say(self, line: str) -> None:
        print(line, flush=True)
        self._lines.append(line)

    def describe(self, **facts: Any) -> None:
        self._put(contract.ENVIRONMENT, json.dumps({**software(), **facts}, indent=1))

    def settle(self, config: Config) -> None:
        self._config = config

    def check(self, verdicts: Mapping[str, Mapping[str, Any]]) -> None:
        self._checks = verdicts

    def begin(self, rows: Sequence[Mapping[str, Any]], resumed_from: int | None) -> None:
        self._epochs, self._resumed = list(rows), resumed_from
        self._latest = dict(rows[-1]) if rows else {}  # nothing of a first stage
        if rows:
            self._due = time.monotonic()

    def beat(self, step: int) -> None:
        self._latest |= {"step": step, "time": time.time()}
        if time.monotonic() >= self._due:
            self._hand_in()

    def row(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        metrics = {**self._latest.get("metrics", {}), **row["metrics"]}
        self._latest |= {**row, "metrics": metrics}
        if row.get("epoch", 0) > len(self._epochs):  # the last one may come again, with the test split
            self._epochs.append(row)
            if self._config is not None and row["epoch"] in self._config.rungs:
                self._due = time.monotonic()  # whoever decides at rungs waits for it
        if not self._chunks or time.monotonic() >= self._due:  # the first at once: other trials wait for it
            self._hand_in()

    def keep(self) -> None:
        if self._rows:
            self._hand_in(at_once=True)

    def note(self, key: str, document: Mapping[str, Any]) -> None:
        self._put(key, json.dumps(document))

    def cut_short(self, config: Config, status: str, reason: str) -> Outcome:
        """How far a run came that an error ended; `config` is what was asked for, if it came no further."""
        run, step = self._config or config, self._latest.get("step", 0)
        return Outcome(run, status, step, self._epochs, reason, self._resumed, checks=self._checks)

    def finish(self, outcome: Outcome, earlier: Callable[[], bool] = lambda: False) -> int:
        """Write what is left, the model, and the result last; the exit code.

        `earlier` tells whether the store has a checkpoint, of however few steps, for a run that was stopped.
        """
        if outcome.reason:
            self.say(outcome.reason)
        self._hand_in(at_once=True)
        self._put_log()
        if outcome.status == "stopped":
            if self._writer.drain() and outcome.saved:
                self._leave(outcome.reason)
                return contract.EXIT_STOPPED
            if earlier():
                self._leave(f"{outcome.reason}, and the store has a checkpoint, if not of this step")
                return contract.EXIT_STOPPED
            self._leave(f"{outcome.reason}, and nothing could be saved")
            return TERMINATED
        for name, data in outcome.model.items():
            self._put(f"{contract.MODEL}/{name}", data)
        self._put(contract.RESULT, json.dumps(document(outcome), indent=1))
        if not self._writer.drain():
            self._leave("the store did not take the result")
            return contract.EXIT_ERROR
        self._leave(json.dumps(message(outcome)))
        return contract.EXIT_DONE

    def fail(self, reason: str, config: Config | None = None) -> None:
        """Say why there is no result; of a configuration that could be read in `result.json`, too."""
        self._lines.append(reason)
        self._leave(reason)
        self._hand_in(at_once=True)
        self._put_log()
        if config is not None:
            outcome = self.cut_short(config, "failed", reason)
            self._put(contract.RESULT, json.dumps(document(outcome), indent=1))
        self._writer.drain(patience=5)

    def _hand_in(self, *, at_once: bool = False) -> None:
        """Write chunk and progress, one after the other; while a store is away rows wait in memory."""
        if not (at_once or self._writer.idle):
            return
        if self._rows:
            self._chunks += 1
            lines = "".join(json.dumps(row) + "\n" for row in self._rows)
            self._put(contract.metrics_key(self._chunks), lines)
            self._rows = []
        if self._latest:
            self._put(contract.PROGRESS, self._progress())
        self._due = time.monotonic() + RHYTHM

    def _progress(self) -> str:
        if self._config is None:
            return progress.document(self._latest, {})
        return progress.document(self._latest, rungs(self._config, self._epochs), self._config.monitor)

    def _put_log(self) -> None:
        log = "".join(f"{line}\n" for line in self._lines).encode()[-contract.LOG_LIMIT :]
        self._put(contract.LOG, log.decode(errors="ignore"))

    def _put(self, key: str, content: str | bytes) -> None:
        store, data = self._store, content.encode() if isinstance(content, str) else content
        if store is not None:
            self._writer.put(lambda: store.write(key, data))

    def _leave(self, text: str) -> None:
        if self._termination_log is None:
            return
        try:
            self._termination_log.write_bytes(text.encode()[: contract.TERMINATION_LIMIT])
        except OSError as error:
            print(f"no termination message: {error}", file=sys.stderr)
