"""`python -m hypersweep_trainer`: start this node's ranks, pass SIGTERM on, keep exit codes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from types import FrameType
from typing import NoReturn

from hypersweep import contract
from hypersweep_trainer.config import LOCAL_RANK, ConfigError, Place

GRACE = 10.0  # seconds that the others get to notice a rank's failure


class Stop:
    """Whether somebody asked for an end."""

    requested = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True


def main() -> NoReturn:
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):  # before torch is imported, which takes seconds
        signal.signal(number, stop.handle)
    try:
        place = Place.read(os.environ)
    except ConfigError:
        place = Place()  # the trial says what is wrong
    if place.per_node > 1 and place.local is None:
        code = launch(place.per_node, stop)
    else:
        from hypersweep_trainer.trial import run

        code = run(os.environ, lambda: stop.requested)
    for number in (signal.SIGTERM, signal.SIGINT):  # a second one during the end must not change the code
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # tearing torch down takes a second


def launch(count: int, stop: Stop) -> int:
    """Run ranks 0 to count - 1 of this node and return the code that says how they ended."""
    command = [sys.executable, "-m", "hypersweep_trainer"]
    ranks = [subprocess.Popen(command, env={**os.environ, LOCAL_RANK: str(rank)}) for rank in range(count)]
    codes: list[int] = []  # in the order of their ends: the first failure is the cause of the others
    told, deadline = False, float("inf")
    while ranks:
        if stop.requested and not told:
            told = True
            for rank in ranks:
                rank.send_signal(signal.SIGTERM)
        ended = [rank for rank in ranks if rank.poll() is not None]
        ranks = [rank for rank in ranks if rank.returncode is None]
        codes += [rank.returncode if rank.returncode >= 0 else 128 - rank.returncode for rank in ended]
        if deadline == float("inf") and verdict(codes) not in (contract.EXIT_DONE, contract.EXIT_STOPPED):
            deadline = time.monotonic() + GRACE
        if time.monotonic() > deadline:
            for rank in ranks:
                rank.kill()
        time.sleep(0.02)
    return verdict(codes)


def verdict(codes: Iterable[int]) -> int:
    """The worst of the ranks' codes: 78, else the first failure, else 75, else 0."""
    found = list(codes)
    failures = [code for code in found if code not in (contract.EXIT_DONE, contract.EXIT_STOPPED)]
    if contract.EXIT_CONFIG in failures:
        return contract.EXIT_CONFIG
    return failures[0] if failures else max(found, default=contract.EXIT_DONE)


if __name__ == "__main__":
    main()
