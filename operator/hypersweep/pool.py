"""Worker processes for the built-in trainer: reused, because starting one takes seconds."""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from itertools import count
from queue import SimpleQueue

from hypersweep.process import CHUNK, Group, Guard, Tail

WORKER = "hypersweep.worker"
REUSABLE = (0, 75, 78)  # after anything else a worker's state is unknown


class Worker:
    """A process that runs trials of the built-in trainer, one at a time."""

    def __init__(self, guard: Guard, trainer: str, threads: int) -> None:
        self.threads = threads
        self.usable = True
        self._channel, theirs = socket.socketpair()
        with theirs:
            self.group = Group(
                guard,
                [sys.executable, "-m", WORKER, str(theirs.fileno()), trainer],
                stdin=subprocess.DEVNULL,
                environment=dict(os.environ) | {"OMP_NUM_THREADS": str(threads)},
                passed=[theirs.fileno()],
            )
        os.set_blocking(self.group.output, False)
        self._status: SimpleQueue[int] = SimpleQueue()
        # its end closes the channel even if something that it forked holds it
        self._watcher = threading.Thread(target=lambda: self._status.put(self.group.wait()), daemon=True)
        self._watcher.start()

    def run(self, number: int, environment: Mapping[str, str], log: Tail, started: Callable[[], None]) -> int:
        self._say(run=number, environment=dict(environment))
        with selectors.DefaultSelector() as ready:
            ready.register(self._channel, selectors.EVENT_READ)
            ready.register(self.group.output, selectors.EVENT_READ)
            received = b""
            while True:
                for key, _ in ready.select():
                    if key.fileobj is not self._channel:
                        if not self._drain(log):
                            ready.unregister(key.fileobj)
                        continue
                    data = self._channel.recv(CHUNK)
                    if not data:
                        return self._died(log)
                    received += data
                    *lines, received = received.split(b"\n")
                    for line in lines:
                        answer = json.loads(line)
                        if "exit" in answer:
                            self._drain(log)
                            self.usable = answer["idle"]
                            return int(answer["exit"])
                        started()

    def stop(self, number: int) -> None:
        self._say(stop=number)

    def close(self) -> None:
        """End it; no trial may be running in it."""
        self.usable = False
        self.group.signal(signal.SIGKILL)
        self._watcher.join()
        self._channel.close()
        self.group.close()

    def _say(self, **message: object) -> None:
        with contextlib.suppress(OSError):  # it died: reading its answer will tell
            self._channel.sendall(json.dumps(message).encode() + b"\n")

    def _died(self, log: Tail) -> int:
        self.usable = False
        status = self._status.get()
        self._drain(log)
        return status

    def _drain(self, log: Tail) -> bool:
        """Take what is printed so far; False at the end of the output."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.group.output, CHUNK):
                log.add(data)
            return False
        return True


class Pool:
    """Workers that wait for the next trial."""

    def __init__(self, guard: Guard, trainer: str) -> None:
        """`trainer` is the name of a module with `warm()`, `run(environment, should_stop)` and `idle()`."""
        self._guard = guard
        self._trainer = trainer
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._lock = threading.Lock()

    def warm(self, workers: int, threads: int) -> None:
        """Start workers that trials will need soon."""
        for started in [self._start(threads) for _ in range(workers)]:
            self.give(started)

    def take(self, threads: int) -> Worker:
        """An idle worker of that many threads, or a new one in the place of an idle one of another kind."""
        with self._lock:
            for worker in reversed(self._idle):
                if worker.threads == threads and worker.group.process.returncode is None:
                    self._idle.remove(worker)
                    return worker
            other = self._idle.pop() if self._idle else None
        if other is not None:
            self._drop(other)
        return self._start(threads)

    def give(self, worker: Worker) -> None:
        if not worker.usable:
            self._drop(worker)
            return
        with self._lock:
            self._idle.append(worker)

    def close(self) -> None:
        with self._lock:
            workers = set(self._all)
        for each in workers:
            each.close()

    def _start(self, threads: int) -> Worker:
        worker = Worker(self._guard, self._trainer, threads)
        with self._lock:
            self._all.add(worker)
        return worker

    def _drop(self, worker: Worker) -> None:
        worker.close()
        with self._lock:
            self._all.discard(worker)


class Pooled:
    """An attempt in a worker of a pool."""

    numbers = count()

    def __init__(self, pool: Pool, threads: int, environment: Mapping[str, str]) -> None:
        self.log = Tail()
        self._pool = pool
        self._threads = threads
        self._environment = environment
        self._number = next(self.numbers)
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._asked: int | None = None  # to stop or to be killed: the signal that says so

    def run(self, started: Callable[[], None]) -> int:
        with self._lock:
            worker = self._worker = self._pool.take(self._threads)
            if self._asked is not None:
                self._ask(worker, self._asked)
        status = worker.run(self._number, self._environment, self.log, started)
        with self._lock:
            self._worker = None
            killed = self._asked == signal.SIGKILL
        worker.usable = worker.usable and status in REUSABLE and not killed
        self._pool.give(worker)
        return status

    def terminate(self) -> None:
        self._do(signal.SIGTERM)

    def kill(self) -> None:
        self._do(signal.SIGKILL)

    def _do(self, number: int) -> None:
        with self._lock:
            self._asked = number
            if self._worker is not None:
                self._ask(self._worker, number)

    def _ask(self, worker: Worker, number: int) -> None:
        if number == signal.SIGKILL:
            worker.group.signal(number)
        else:
            worker.stop(self._number)
