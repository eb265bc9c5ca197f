"""Builders of images whose pixels are known, in memory and in folders, and what the network sees of them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hypersweep_trainer.data import image
from hypersweep_trainer.data.raw import Raw, Rows
from hypersweep_trainer.data.split import Split
from hypersweep_trainer.options import Options

CPU = torch.device("cpu")
Pixels = NDArray[np.uint8]


def some_pixels(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 200, shape, np.uint8)


def in_memory(pixels: NDArray[Any], target: str = "classification") -> Raw:
    labels: NDArray[Any] = np.arange(len(pixels)) % 2
    return Raw("image", target, labels if target == "classification" else labels / 2, "", pixels=pixels)


def a_folder(root: Path, count: int = 12, side: tuple[int, int] = (20, 30), mode: str = "RGB") -> Path:
    """Two classes of images whose pixels are known."""
    for number in range(count):
        folder = root / "images" / ("dog", "cat")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shape = side if mode == "L" else (*side, 3)
        Image.fromarray(some_pixels(*shape, seed=number)).save(folder / f"{number:02d}.png")
    return root / "images"


def a_split(count: int) -> Split:
    """Six tenths of the rows train, two validate, two test; not in order."""
    order = np.random.default_rng(1).permutation(count)
    one, other = count * 6 // 10, count * 8 // 10
    return Split(order[:one], order[one:other], order[other:])


def seen(raw: Raw, final: bool = False, **options: Any) -> image.ImageParts:
    return image.parts(raw, a_split(len(raw.labels)), Options(**options), CPU, final)


def everything(rows: Rows) -> tuple[Tensor, Tensor]:
    return rows.take(torch.arange(len(rows)))
