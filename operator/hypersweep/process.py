"""Processes that never outlive the one that started them, and attempts made of them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from hypersweep import guard
from hypersweep.command import Command
from hypersweep.contract import LOG_LIMIT

CHUNK = 64 * 1024


class Tail:
    """The last bytes of an output, however long it gets."""

    def __init__(self, limit: int = LOG_LIMIT) -> None:
        self._limit = limit
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > 2 * self._limit:
            del self._data[: -self._limit]

    @property
    def data(self) -> bytes:
        return bytes(self._data[-self._limit :])

    @property
    def last_line(self) -> str:
        lines = self.data[-1024:].decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


class Guard:
    """The process that ends what this one started, should this one die."""

    def __init__(self, scratch: Path, held: Sequence[int] = ()) -> None:
        """`held` are descriptors, such as a lock's, that stay open as long as the guard lives."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, "watch", str(scratch)],
            stdin=subprocess.PIPE,
            pass_fds=tuple(held),
            start_new_session=True,
            bufsize=0,
        )
        self._lock = threading.Lock()
        self._closed = False

    def watch(self, group: int) -> None:
        self._say(group)

    def release(self, group: int) -> None:
        self._say(-group)

    def _say(self, group: int) -> None:
        assert self._process.stdin is not None
        with self._lock, contextlib.suppress(BrokenPipeError):  # somebody killed it: nothing to do about it
            if not self._closed:
                self._process.stdin.write(b"%d\n" % group)

    def close(self) -> None:
        """Kill what still runs and remove the scratch folder."""
        assert self._process.stdin is not None
        with self._lock:
            self._closed = True
            self._process.stdin.close()
        self._process.wait()


class Group:
    """One process and everything that it starts: it leads a session of its own, under a guard."""

    def __init__(
        self,
        guard: Guard,
        argv: Sequence[str],
        *,
        stdin: int,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        passed: Sequence[int] = (),
    ) -> None:
        self._guard = guard
        self._lock = threading.Lock()
        self._ended = False
        self.process = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            pass_fds=tuple(passed),
            start_new_session=True,
            bufsize=0,
        )
        guard.watch(self.process.pid)

    @property
    def output(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def wait(self) -> int:
        """The exit status; negative for a signal. What the process left running is killed, as in a pod."""
        status = self.process.wait()
        with self._lock:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self._ended = True
        self._guard.release(self.process.pid)
        return status

    def close(self) -> None:
        """Give up its output; nobody may be reading it."""
        assert self.process.stdout is not None
        self.process.stdout.close()

    def signal(self, number: int) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError, PermissionError):
            if not self._ended:
                os.killpg(self.process.pid, number)


class Execution(Protocol):
    """One attempt on its way; `terminate` and `kill` come from other threads, at any time."""

    log: Tail

    def run(self, started: Callable[[], None]) -> int:
        """Run to the end; the exit status, negative for the signal that ended it."""

    def terminate(self) -> None:
        """Ask it to save what it has and to end."""

    def kill(self) -> None: ...


class Processes:
    """An attempt as processes of its own, one per node; the first one that fails ends the others."""

    def __init__(self, guard: Guard, commands: Sequence[Command]) -> None:
        self.log = Tail()
        self._guard = guard
        self._commands = commands
        self._groups: list[Group] = []
        self._lock = threading.Lock()
        self._signal: int | None = None

    def run(self, started: Callable[[], None]) -> int:
        ends: SimpleQueue[int] = SimpleQueue()
        pumps = []
        with self._lock:
            for command in self._commands:
                argv = [sys.executable, "-I", "-S", guard.__file__, "gate", *command.argv]
                group = Group(
                    self._guard,
                    argv,
                    stdin=subprocess.PIPE,
                    environment=command.environment,
                    folder=command.folder,
                )
                self._groups.append(group)
                pumps.append(threading.Thread(target=self._pump, args=(group,), daemon=True))
                pumps[-1].start()
                threading.Thread(target=lambda g=group: ends.put(g.wait()), daemon=True).start()
            for group in self._groups:
                _open_gate(group)
            if self._signal is not None:
                self._send(self._signal)
        started()
        status = 0
        for _ in self._groups:
            ended = ends.get()
            if ended and not status:
                status = ended
                self.terminate()
        for pump in pumps:
            pump.join(1.0)  # it takes longer only if something left the session and holds the pipe
        return status

    def _pump(self, group: Group) -> None:
        rest = b""
        while data := os.read(group.output, CHUNK):
            lines, newline, rest = (rest + data).rpartition(b"\n")
            self.log.add(lines + newline)  # whole ones: several nodes write to the same log
            if len(rest) > CHUNK:
                self.log.add(rest)
                rest = b""
        self.log.add(rest)
        group.close()

    def terminate(self) -> None:
        with self._lock:
            self._send(signal.SIGTERM)

    def kill(self) -> None:
        with self._lock:
            self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        self._signal = number
        for group in self._groups:
            group.signal(number)


def _open_gate(group: Group) -> None:
    assert group.process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        group.process.stdin.write(b"\n")
        group.process.stdin.close()
