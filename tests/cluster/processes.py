"""Process groups that cannot outlive the tests: whatever kills pytest, a watcher process ends them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

# Reads `+pgid` and `-pgid` lines; the pipe closes when the tests' process is gone, however it went.
WATCHER = """
import os, shutil, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class Processes:
    """Starts processes in groups of their own; when it closes, they and their folder are gone."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._watcher = subprocess.Popen(
            [sys.executable, "-S", "-c", WATCHER, str(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def start(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start a command whose output goes to a file; raises OSError when there is no such command."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        self._tell(f"+{process.pid}")
        return process

    def reap(self, process: "subprocess.Popen[bytes]") -> int:
        """Wait for a process, then end what it left of its group; negative is the signal that killed it."""
        code = process.wait()
        send(process, signal.SIGKILL)
        self._tell(f"-{process.pid}")
        return code

    def end(self, *processes: "subprocess.Popen[bytes]", grace: float = 5) -> None:
        """Terminate all, then kill what is left after the grace."""
        for process in processes:
            send(process, signal.SIGTERM)
        for process in processes:
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                send(process, signal.SIGKILL)
            self.reap(process)

    def close(self) -> None:
        """End the watcher, and with it whatever is still registered and the folder."""
        with self._lock:
            assert self._watcher.stdin
            self._watcher.stdin.close()
        self._watcher.wait()

    def _tell(self, line: str) -> None:
        with self._lock:
            assert self._watcher.stdin
            if not self._watcher.stdin.closed:
                print(line, file=self._watcher.stdin, flush=True)


def send(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Signal a whole group; one that is gone is as good as told."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
