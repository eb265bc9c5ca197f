"""The loss of a character transformer over time, on a megabyte of text: `python -m benchmarks.text`.

The text is English that every Python brings along: the docstrings of its standard library, module by module.
Validation reads other modules than training. The network and its training are those of nanoGPT's small
configuration for a CPU (4 layers, 128 units, 64 characters, batches of 12); its text is another one, so that
losses do not compare.
"""

import ast
import json
import math
import platform
import sysconfig
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.step import device_name
from hypersweep_trainer.checkpoint import Checkpoints
from hypersweep_trainer.config import Config, Place
from hypersweep_trainer.data.digest import digest
from hypersweep_trainer.output import Silence
from hypersweep_trainer.rank import join
from hypersweep_trainer.train import train
from hypersweep_trainer.writer import Writer

LENGTH = 1_000_000  # characters
APART = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages"}
OPTIONS = {
    "depth": 4, "width": 128, "context": 64, "batch_size": 12, "epochs": 3, "min_lr_ratio": 0.1,
    "beta2": 0.99, "weight_decay": 0.1, "grad_clip": 1.0, "log_steps": 250, "save_model": False,
}  # fmt: skip
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def text() -> str:
    """Docstrings of the standard library, in the order of its files."""
    root = Path(sysconfig.get_path("stdlib"))
    files = (file for file in sorted(root.rglob("*.py")) if not APART & {*file.relative_to(root).parts})
    found = "\n\n".join(words for file in files for words in docstrings(file))
    return found[:LENGTH]


def docstrings(file: Path) -> Iterator[str]:
    nodes = (node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, DOCUMENTED))
    return filter(None, map(ast.get_docstring, nodes))


class Table(Silence):
    """Prints each row of metrics with the seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        print(f"{'seconds':>8}{'step':>7}{'train_loss':>12}{'val_loss':>10}")

    def row(self, row: Mapping[str, Any]) -> None:
        metrics, seconds = row["metrics"], time.perf_counter() - self._began
        val = f"{metrics['val_loss']:10.3f}" if "val_loss" in metrics else ""
        print(f"{seconds:8.0f}{row['step']:7}{metrics['train_loss']:12.3f}{val}", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    ranks, corpus = join(Place()), text()
    kinds = len(set(corpus))
    print(f"{len(corpus)} characters of {kinds} kinds from docstrings of Python {platform.python_version()}")
    print(
        f"text {digest([corpus])}, on {device_name(ranks.device)}; a guess loses {math.log(kinds):.3f} nats"
    )
    with TemporaryDirectory() as folder:
        file = Path(folder, "text.txt")
        file.write_text(corpus, encoding="utf-8")
        given = json.dumps({"data": str(file), **OPTIONS})
        config = Config.read({"HYPERSWEEP_TRAINER": given, "HYPERSWEEP_SEED": "1"})
        train(config, ranks, Table(), Checkpoints([], "", Writer(print)), lambda: False)


if __name__ == "__main__":
    main()
