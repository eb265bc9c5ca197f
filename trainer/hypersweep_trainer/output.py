"""What a trial leaves: lines, metric chunks, progress, log, environment, result; rank 0 alone writes."""

import json
import platform
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from hypersweep import contract
from hypersweep.store import Store
from hypersweep_trainer.config import Config
from hypersweep_trainer.result import Outcome, document, failure, message
from hypersweep_trainer.writer import Writer

RHYTHM = 10.0  # seconds between two chunks of metrics, each with a progress document
PACKAGES = ("hypersweep", "numpy", "pyarrow", "safetensors", "scikit-learn", "timm", "torchvision")
TERMINATED = 128 + 15  # the status of a process that SIGTERM ended


class Output(Protocol):
    """Where a run reports while it trains."""

    def say(self, line: str) -> None:
        """A line for people."""

    def describe(self, **facts: Any) -> None:
        """What the run stands on: device, data, ranks."""

    def beat(self, step: int) -> None:
        """A sign of life between two rows."""

    def row(self, row: Mapping[str, Any]) -> None:
        """Metrics: step, time, metrics, how the run goes (rate, gradient, speed), and the epoch it ends."""

    def note(self, key: str, document: Mapping[str, Any]) -> None:
        """A document that later attempts read."""


class Silence:
    """The output of ranks that only compute."""

    def say(self, line: str) -> None:
        pass

    def describe(self, **facts: Any) -> None:
        pass

    def beat(self, step: int) -> None:
        pass

    def row(self, row: Mapping[str, Any]) -> None:
        pass

    def note(self, key: str, document: Mapping[str, Any]) -> None:
        pass

    def finish(self, outcome: Outcome) -> int:
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
        self._progress: dict[str, Any] = {}

    def say(self, line: str) -> None:
        print(line, flush=True)
        self._lines.append(line)

    def describe(self, **facts: Any) -> None:
        self._put(contract.ENVIRONMENT, json.dumps({**_software(), **facts}, indent=1))

    def beat(self, step: int) -> None:
        if time.monotonic() >= self._due:
            self._progress = {**self._progress, "step": step, "time": time.time()}
            self._hand_in()

    def row(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        self._progress = dict(row)
        if not self._chunks or time.monotonic() >= self._due:  # the first at once: other trials wait for it
            self._hand_in()

    def note(self, key: str, document: Mapping[str, Any]) -> None:
        self._put(key, json.dumps(document))

    def finish(self, outcome: Outcome) -> int:
        """Write what is left, the model, and the result last; the exit code."""
        if outcome.reason:
            self.say(outcome.reason)
        self._hand_in(last=True)
        self._put_log()
        if outcome.status == "stopped":
            kept = self._writer.drain() and outcome.saved
            self._leave(outcome.reason if kept else f"{outcome.reason}, and nothing could be saved")
            return contract.EXIT_STOPPED if kept else TERMINATED
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
        self._hand_in(last=True)
        self._put_log()
        if config is not None:
            self._put(contract.RESULT, json.dumps(failure(config, reason), indent=1))
        self._writer.drain(patience=5)

    def _hand_in(self, *, last: bool = False) -> None:
        """Write chunk and progress, one after the other; while a store is away rows wait in memory."""
        if not (last or self._writer.idle):
            return
        if self._rows:
            self._chunks += 1
            lines = "".join(json.dumps(row) + "\n" for row in self._rows)
            self._put(contract.metrics_key(self._chunks), lines)
            self._rows = []
        if self._progress:
            self._put(contract.PROGRESS, json.dumps(self._progress))
        self._due = time.monotonic() + RHYTHM

    def _put_log(self) -> None:
        self._put(contract.LOG, "".join(f"{line}\n" for line in self._lines)[-contract.LOG_LIMIT :])

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


@cache
def _software() -> dict[str, Any]:
    """What reproduces a run besides its configuration."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
        "commit": _commit(Path.cwd()),
    }


def _commit(folder: Path) -> str | None:
    """The git commit of a work tree, read without git."""
    for root in (folder, *folder.parents):
        head = root / ".git" / "HEAD"
        if head.is_file():
            kind, _, name = head.read_text().strip().partition(" ")
            reference = root / ".git" / name
            return kind if not name else reference.read_text().strip() if reference.is_file() else None
    return None
