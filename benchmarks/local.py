"""What a local run adds to a trivial trial: `python -m benchmarks.local`.

The same trials, each of which only writes its result, in warm processes: as a sweep with everything
that makes it durable, and as bare calls in this process. The two take turns, so that a slow moment
hits both.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks import trivial
from hypersweep import api, drive, job, place
from hypersweep.reconcile import Step
from hypersweep.run import local
from hypersweep.runner import Order
from hypersweep.trial import Suggestion

TRIALS = 60  # of one round


def manifest(name: str, trials: int) -> api.HyperSweep:
    """A sweep of the shortest trials there are."""
    return api.load(
        {
            "apiVersion": "hypersweep.io/v1alpha1",
            "kind": "HyperSweep",
            "metadata": {"name": name},
            "spec": {
                "objectives": [{"metric": "val_loss", "goal": "minimize"}],
                "parameters": [{"name": "lr", "float": {"min": 1e-4, "max": 1e-1, "scale": "log"}}],
                "strategy": {"random": {}},
                "maxTrials": trials,
                "trainer": {"data": "diabetes", "epochs": 1},
            },
        }
    )


class Clock:
    """A view that notes when each trial was known to have ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def show(self, step: Step) -> None:
        finished = sum(step.plan.history.counts.values())
        self.times += [time.perf_counter()] * (finished - len(self.times))

    def say(self, text: str) -> None:
        print(text, file=sys.stderr)


def swept(folder: Path, sweep: api.HyperSweep) -> list[float]:
    """Seconds between the ends of consecutive trials of a sweep, the first ones left out: they warm up."""
    store = place.own_store(str(folder), sweep.metadata.name)
    clock = Clock()
    with local(sweep, store, folder, place.lock(store), trivial.__name__) as here:
        drive.drive(here.sweep, sweep.spec, here.alarm, clock)
    return [after - before for before, after in zip(clock.times[4:], clock.times[5:], strict=False)]


def bare(folder: Path, sweep: api.HyperSweep) -> list[float]:
    """Seconds of each trial when nothing but the trial runs."""
    store = place.own_store(str(folder), f"{sweep.metadata.name}-bare")
    times = []
    for number in range(TRIALS):
        order = Order(number, 0, Suggestion({"lr": 1e-3 * (1 + number)}, seed=number))
        environment = job.environment(sweep.spec, "bare", "uid", order, store_url=store.url)
        began = time.perf_counter()
        trivial.run(environment, lambda: False)
        times.append(time.perf_counter() - began)
    return times[5:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="on the disk to measure", default=None)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)  # where the workers find the trial
    overheads = []
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        for number in range(options.rounds):
            sweep = manifest(f"round-{number}", TRIALS)
            ours, theirs = (median(run(Path(scratch), sweep)) * 1e3 for run in (swept, bare))
            overheads.append(ours - theirs)
            print(
                f"round {number + 1}: {ours:.1f} ms a trial in a sweep, {theirs:.1f} ms bare: "
                f"{overheads[-1]:.1f} ms more, ratio {ours / theirs:.1f}"
            )
    spread = f"{min(overheads):.1f} to {max(overheads):.1f}"
    print(f"overhead per trivial trial, warm: {median(overheads):.1f} ms ({spread}); to reach: 15 ms")


if __name__ == "__main__":
    main()
