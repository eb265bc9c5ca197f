"""The step of two ranks ÷ that of a bare loop under DistributedDataParallel: `python -m benchmarks.ranks`.

Both run in the same two processes, in turns, over gloo, or over NCCL where there is a GPU for each.
"""

import os
import socket
import subprocess
import sys

import torch
from torch.nn.parallel import DistributedDataParallel

from benchmarks import byhand, step
from benchmarks.turns import ratio, time, turns
from hypersweep_trainer.config import LOCAL_RANK, Config, Place
from hypersweep_trainer.data import load
from hypersweep_trainer.rank import Ranks, join

BAR, RANKS, SIZE = 1.05, 2, 64
EPOCHS = 60  # in a sample: a step waits for two processes, and so for whatever else runs on the machine
OPTIONS = {"hidden": [128], "batch_size": SIZE, "epochs": EPOCHS}


def bare(ranks: Ranks) -> float:
    """Seconds of a step of a loop as one writes it by hand."""
    data = load(Config.read({}), ranks.device).train
    x, y = data.take(torch.arange(len(data), device=ranks.device))
    torch.manual_seed(1)  # all ranks must draw the same order
    network = DistributedDataParallel(byhand.mlp().to(ranks.device), gradient_as_bucket_view=True)
    part = slice(ranks.rank, None, ranks.world)
    return byhand.loop(network, x, y, SIZE, EPOCHS, share=lambda rows: rows[part])


def work() -> None:
    """One of the ranks."""
    place = Place.read(os.environ)
    ranks = join(place)
    torch.set_num_threads(1)
    environment = {name: os.environ[name] for name in ("PET_NPROC_PER_NODE", LOCAL_RANK)}
    mine, theirs = turns(lambda: step.ours(OPTIONS, ranks, **environment), lambda: bare(ranks))
    if ranks.rank == 0:
        print(
            f"{RANKS} ranks on {step.device_name(ranks.device)} each, MLP 64-128-10 on digits, batch {SIZE}"
        )
        print(f"step ÷ bare DDP loop: {ratio(mine, theirs, BAR)}; {time(mine)} ÷ {time(theirs)}")
    ranks.leave()
    sys.stdout.flush()
    os._exit(0)  # as the trainer ends: torch's threads do not all survive an orderly one


def main() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {**os.environ, "PET_NPROC_PER_NODE": str(RANKS), "PET_MASTER_PORT": port}
    if torch.cuda.device_count() < RANKS:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    command = [sys.executable, "-m", "benchmarks.ranks"]
    started = [subprocess.Popen(command, env={**environment, LOCAL_RANK: str(rank)}) for rank in range(RANKS)]
    codes = [process.wait() for process in started]
    sys.exit(any(codes))


if __name__ == "__main__":
    work() if LOCAL_RANK in os.environ else main()
