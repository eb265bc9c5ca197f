"""Data of every kind, and a device that has no room for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from hypersweep_trainer import data
from hypersweep_trainer.data import room

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (90, 3, 8, 8), np.uint8)
LABELS = np.arange(90) % 3


def a_table(root: Path) -> str:
    rows = [
        f"{x:.3f},{'abc'[n % 3]},{'no' if x < 0 else 'yes'}" for n, x in enumerate(RANDOM.normal(size=90))
    ]
    (root / "rows.csv").write_text("\n".join(["x,colour,y", *rows]))
    return f"{root}/rows.csv"


def an_archive(x: Any, y: Any = None) -> Callable[[Path], str]:
    def write(root: Path) -> str:
        np.savez(root / "rows.npz", **({"x": x} if y is None else {"x": x, "y": y}))
        return f"{root}/rows.npz"

    return write


def a_text(root: Path) -> str:
    (root / "tale.txt").write_text("a stitch in time saves nine, said the cät. " * 60)
    return f"{root}/tale.txt"


FLOATS = PIXELS.astype(np.float32) / 255
TOKENS = RANDOM.integers(0, 300, (90, 7))
TENSORS = torch.from_numpy(PIXELS), torch.from_numpy(LABELS)
DATASET = TensorDataset(torch.from_numpy(FLOATS), torch.from_numpy(LABELS))
KINDS: dict[str, tuple[Callable[[Path], str], dict[str, Any]]] = {
    "table": (a_table, {}),
    "table, target means": (a_table, {"cat_encoder": "target"}),
    "table to rebuild": (a_table, {"target": "reconstruction"}),
    "numbers to predict": (an_archive(RANDOM.random((90, 4)), RANDOM.random(90)), {}),
    "images": (an_archive(PIXELS, LABELS), {"image_size": 12, "test_size": 10, "model": "cnn"}),
    "images to augment": (an_archive(PIXELS, LABELS), {"flip": 0.5}),
    "images of floats": (an_archive(FLOATS, LABELS / 2), {"task": "image"}),
    "images to rebuild": (an_archive(PIXELS), {"target": "reconstruction"}),
    "sequences": (an_archive(TOKENS, LABELS), {"task": "sequence"}),
    "sequences without labels": (an_archive(TOKENS), {"task": "sequence"}),
    "characters": (a_text, {"context": 8}),
    "bytes": (a_text, {"context": 8, "tokenizer": "bytes"}),
    "own tensors": (lambda _: f"{__name__}:TENSORS", {}),
    "own Dataset": (lambda _: f"{__name__}:DATASET", {}),
    "part of the labels": (
        an_archive(RANDOM.random((90, 4)), LABELS), {"pretrain": "autoencoder", "subset_fraction": 0.5},
    ),
}  # fmt: skip


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, the device has no room for any row."""

    def fill() -> None:
        forget()
        monkeypatch.setattr(room, "free", lambda device: 0)

    forget()
    return fill


def forget() -> None:
    """What was loaded for other trials, as a process that starts anew."""
    data._load.cache_clear()
    data._raw.cache_clear()
