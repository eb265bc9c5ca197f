"""How near the default transformer comes to a Markov chain that it learns: `python -m benchmarks.markov`.

The chain knows its own probabilities, and no prediction of its next symbol is better on average. What a
network loses beside it on the same validation tokens, it has not learned.
"""

import json
import time

import numpy as np
import torch
from torch import Tensor

from hypersweep_trainer.checkpoint import Checkpoints
from hypersweep_trainer.config import Config, Place
from hypersweep_trainer.data import load
from hypersweep_trainer.data.language import chain, entropy_rate
from hypersweep_trainer.output import Silence
from hypersweep_trainer.rank import join
from hypersweep_trainer.train import train
from hypersweep_trainer.writer import Writer

BAR, SEEDS = 1.02, 3
OPTIONS = {"data": "markov", "synthetic_rows": 8000, "epochs": 5, "save_model": False}


def tokens(config: Config) -> tuple[Tensor, Tensor]:
    """Validation tokens and the ones that follow them."""
    rows = load(config, torch.device("cpu")).val
    return rows.take(torch.arange(len(rows)))


def true_loss(config: Config) -> float:
    """Nats per token of validation, by the probabilities that the text was drawn from."""
    x, y = tokens(config)
    transition = torch.from_numpy(chain(config.options))
    return -float(transition[x - 1, y - 1].log().mean())  # symbol k is token k + 1


def main() -> None:
    torch.set_num_threads(1)
    for seed in range(SEEDS):
        given = json.dumps({**OPTIONS, "synthetic_seed": seed})
        config = Config.read({"HYPERSWEEP_TRAINER": given, "HYPERSWEEP_SEED": str(seed)})
        least, began = true_loss(config), time.perf_counter()
        outcome = train(config, join(Place()), Silence(), Checkpoints([], "", Writer(print)), lambda: False)
        found, seconds = outcome.rows[-1]["metrics"]["val_loss"], time.perf_counter() - began
        guess = np.log(len(chain(config.options)))
        print(
            f"chain {seed}: {found:.4f} nats a token ÷ {least:.4f} of the chain itself: {found / least:.4f}, "
            f"to reach: {BAR} (entropy rate {entropy_rate(chain(config.options)):.4f}, a guess {guess:.4f}; "
            f"{seconds:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
