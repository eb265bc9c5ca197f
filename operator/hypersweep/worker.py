"""A process that runs trials of the built-in trainer, one after the other: starting one costs nothing then.

Over its channel it gets `{"run": n, "environment": {…}}` and `{"stop": n}`, a line each, and answers
`{"started": n}` and `{"exit": status, "idle": i}`, where i is false if something that the trial began goes
on: no other trial may run beside it. It ends when the channel does.
"""

import importlib
import json
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import FrameType
from typing import Any

TRAINER = "hypersweep_trainer.trial"  # by name: only here, never in the process that starts this one


@dataclass
class State:
    """What the listening thread tells the one that trains."""

    jobs: SimpleQueue[dict[str, Any]] = field(default_factory=SimpleQueue)
    stops: set[int] = field(default_factory=set)
    current: int | None = None
    stop: bool = False


def listen(lines: Any, state: State) -> None:
    for line in lines:
        message = json.loads(line)
        if "run" in message:
            state.jobs.put(message)
            continue
        state.stops.add(message["stop"])
        if message["stop"] == state.current:
            state.stop = True
    os._exit(0)


def main(descriptor: int, trainer: str) -> None:
    channel = socket.socket(fileno=descriptor)
    state = State()

    def terminate(signum: int, frame: FrameType | None) -> None:
        if state.current is None:
            os._exit(0)
        state.stop = True

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, terminate)
    threading.Thread(target=listen, args=(channel.makefile("rb"), state), daemon=True).start()
    module = importlib.import_module(trainer)
    module.warm()

    def send(**message: Any) -> None:
        channel.sendall(json.dumps(message).encode() + b"\n")

    while True:
        job = state.jobs.get()
        state.stop = False
        state.current = job["run"]
        if state.current in state.stops:
            state.stop = True
        send(started=state.current)
        status = module.run(job["environment"], lambda: state.stop)
        sys.stdout.flush()  # before the answer: what is printed belongs to the trial that printed it
        sys.stderr.flush()
        state.current = None
        send(exit=status, idle=module.idle())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
