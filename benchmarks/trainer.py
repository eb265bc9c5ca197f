"""Every figure of the trainer in turn, each by its own command: `python -m benchmarks.trainer`."""

import os
import subprocess
import sys
import time

MODULES = ("step", "ranks", "start", "augment", "checkpoint", "checks", "accuracy", "markov", "text")


def main() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name in MODULES:
        print(f"\n$ python -m benchmarks.{name}", flush=True)
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], env=environment, check=True)
        print(f"({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
