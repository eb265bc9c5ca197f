"""Runs beside a local sweep and ends what the sweep left behind, however it died.

A script of the standard library alone, started by its path: Python is up in ten milliseconds then.
"""

import contextlib
import os
import shutil
import signal
import sys
import time

PATIENCE = 5.0  # seconds for killed processes to vanish; where nobody reaps them they stay as zombies


def watch(scratch: str) -> None:
    """Read process groups from stdin, `-` before one that has ended; at its end kill those that are left.

    The kernel closes the pipe when the sweep's process dies, of whatever it dies. An inherited lock
    stays held until this process ends: nobody starts the sweep again while something of it runs.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        group = int(line)
        if group > 0:
            groups.add(group)
        else:
            groups.discard(-group)
    deadline = time.monotonic() + PATIENCE
    while (groups := {group for group in groups if _kill(group)}) and time.monotonic() < deadline:
        time.sleep(0.005)
    shutil.rmtree(scratch, ignore_errors=True)


def _kill(group: int) -> bool:
    """Whether something of the group was still there to be killed."""
    with contextlib.suppress(PermissionError):  # macOS says so of a group of zombies
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True
    return False


def gate(command: list[str]) -> None:
    """Become `command` once stdin says that this process is watched; end if the sweep died before."""
    if os.read(0, 1) != b"\n":
        return
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, a command expects their default
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"cannot run {command[0]!r}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch(sys.argv[2])
    else:
        gate(sys.argv[2:])
