"""From the start of a process to its first optimizer step: `python -m benchmarks.start`.

The trainer as its image starts it, with a store and all that a trial writes there, ÷ a script that imports
torch and takes one step of an MLP. Both may keep the bytecode that they compile.
"""

import json
import os
import subprocess
import sys
import time as clock
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.turns import ratio, time, turns

BAR, ROUNDS = 1.3, 20
OPTIONS = {"hidden": [128], "batch_size": 64, "epochs": 1, "log_steps": 1}
BARE = """
import time
import torch
from torch import nn

device = "cuda" if torch.cuda.is_available() else "cpu"
network = nn.Sequential(nn.Linear(64, 128), nn.LayerNorm(128), nn.GELU(), nn.Linear(128, 10)).to(device)
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
x, y = torch.randn(64, 64, device=device), torch.randint(10, (64,), device=device)
loss = nn.functional.cross_entropy(network(x), y)
loss.backward()
optimizer.step()
print(loss.item(), time.time())
"""


def ours() -> float:
    """Seconds to the first row of metrics, which follows the first step."""
    with TemporaryDirectory() as folder:
        variables = {"HYPERSWEEP_STORE": f"{folder}/attempts/0", "HYPERSWEEP_TRAINER": json.dumps(OPTIONS)}
        began, _ = run(["-m", "hypersweep_trainer"], **variables)
        first = min(Path(folder).glob("attempts/0/metrics/*.jsonl")).read_text().splitlines()[0]
    return float(json.loads(first)["time"]) - began


def bare() -> float:
    """Seconds to the end of the script's step."""
    began, output = run(["-c", BARE])
    return float(output.split()[-1]) - began


def run(arguments: list[str], **variables: str) -> tuple[float, str]:
    """When a process was started and what it wrote, once it has ended."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "OMP_NUM_THREADS": "1", **variables}
    began = clock.time()
    ended = subprocess.run(
        [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return began, ended.stdout


def main() -> None:
    mine, theirs = turns(ours, bare, rounds=ROUNDS)
    print(f"start to first step: {time(mine)} ÷ {time(theirs)} of a script that imports torch and takes one")
    print(f"start to first step ÷ the script's: {ratio(mine, theirs, BAR)}")


if __name__ == "__main__":
    main()
