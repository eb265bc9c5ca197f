"""`python -m hypersweep_trainer`: start this node's ranks, pass SIGTERM on, keep exit codes."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from types import FrameType
from typing import NoReturn

from hypersweep import contract
from hypersweep_trainer.config import LOCAL_RANK, ConfigError, Place, termination_log

LAUNCHER = "HYPERSWEEP_LAUNCHER"  # a descriptor of which ranks read the end as soon as their launcher is gone
PARTING = 10.0  # seconds that the others get to notice a rank's failure
ENDS = (signal.SIGTERM, signal.SIGINT)
GOOD = (contract.EXIT_DONE, contract.EXIT_STOPPED)


class Stop:
    """Whether somebody asked for an end."""

    requested = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True


def main() -> NoReturn:
    stop = Stop()
    for number in ENDS:  # before torch is imported, which takes seconds
        signal.signal(number, stop.handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
    if LAUNCHER in os.environ:
        threading.Thread(target=_follow, args=[int(os.environ.pop(LAUNCHER))], daemon=True).start()
    try:
        place = Place.read(os.environ)
    except ConfigError:
        place = Place()  # the trial says what is wrong
    if place.per_node > 1 and place.local is None:
        code = launch(place, stop)
    else:
        from hypersweep_trainer.trial import run

        code = run(os.environ, lambda: stop.requested)
    for number in ENDS:  # a second one during the end must not change the code
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # tearing torch down takes a second


def launch(place: Place, stop: Stop) -> int:
    """Run this node's ranks and return the code that says how they ended."""
    ranks = _started(place)
    ends: list[tuple[int, int]] = []  # ranks and codes, the first end first: it is the cause of the others
    told, deadline = False, float("inf")
    while ranks:
        if stop.requested and not told:
            told = True
            for process in ranks.values():
                process.send_signal(signal.SIGTERM)
        ended = [(rank, code) for rank, process in ranks.items() if (code := process.poll()) is not None]
        for rank, code in ended:
            del ranks[rank]
            ends.append((rank, code))
        if deadline == float("inf") and _failed(ends):
            deadline = time.monotonic() + PARTING
        if time.monotonic() > deadline:
            for process in ranks.values():
                process.kill()
        time.sleep(0.02)
    if failed := _failed(ends):
        _leave(describe(*failed[0]))
    return verdict(128 - code if code < 0 else code for _, code in ends)


def _started(place: Place) -> dict[int, subprocess.Popen[bytes]]:
    """This node's ranks, which end when this process does: it alone can write to the pipe that they watch."""
    command, (reader, _) = [sys.executable, "-m", "hypersweep_trainer"], os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # ranks begin like that: what comes early waits for `main`
    ranks = {
        place.node * place.per_node + local: subprocess.Popen(
            command,
            env={**os.environ, LOCAL_RANK: str(local), LAUNCHER: str(reader)},
            pass_fds=[reader],
        )
        for local in range(place.per_node)
    }
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
    os.close(reader)
    return ranks


def _follow(launcher: int) -> None:
    os.read(launcher, 1)  # nobody writes: this returns once the other end is closed
    os._exit(contract.EXIT_ERROR)


def _failed(ends: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of ranks and codes those that came to no good end."""
    return [(rank, code) for rank, code in ends if code not in GOOD]


def describe(rank: int, code: int) -> str:
    """How a rank ended, in words."""
    return f"rank {rank} was killed by signal {-code}" if code < 0 else f"rank {rank} ended with code {code}"


def _leave(words: str) -> None:
    """Say why there is no result, unless a rank could say so itself."""
    path = termination_log(os.environ)
    print(words, file=sys.stderr)
    if path is not None and not (path.is_file() and path.stat().st_size):
        with contextlib.suppress(OSError):  # it is on stderr, too
            path.write_text(words)


def verdict(codes: Iterable[int]) -> int:
    """The worst of the ranks' codes: 78, else the first failure, else 75, else 0."""
    found = list(codes)
    failed = [code for code in found if code not in GOOD]
    if contract.EXIT_CONFIG in failed:
        return contract.EXIT_CONFIG
    return failed[0] if failed else max(found, default=contract.EXIT_DONE)


if __name__ == "__main__":
    main()
