"""`make soak`: thirty kills for each number of ranks, and what came of them."""

import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.trainer.kills import survive, undisturbed

KILLS = 30
EPOCHS = {1: 1500, 2: 600, 3: 500}


def main() -> None:
    seed = sys.argv[1] if len(sys.argv) > 1 else str(time.time_ns())
    print(f"seed {seed}")
    wrong = False
    for ranks, epochs in EPOCHS.items():
        with tempfile.TemporaryDirectory() as folder:
            whole = undisturbed(Path(folder) / "whole", epochs, ranks)
            life = survive(Path(folder) / "killed", whole, epochs, ranks, KILLS, Random(f"{seed}/{ranks}"))
        wrong = wrong or not life.equal or life.repeated + life.lost > 0
        print(
            f"{ranks} ranks: {life.kills} kills in training, {life.early} before a checkpoint; "
            f"{life.repeated} steps repeated that a checkpoint held; "
            f"{life.lost} rows lost; bit-equal: {life.equal}",
            flush=True,
        )
    sys.exit(wrong)


if __name__ == "__main__":
    main()
