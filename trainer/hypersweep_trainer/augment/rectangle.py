"""Runs and rectangles: where they lie, and what is erased by them."""

import numpy as np
import torch
from torch import Tensor

from hypersweep_trainer.augment.draws import Draws, Numbers, tensor

AREA = (0.02, 0.33)  # share of an image that is erased
RATIO = (0.3, 3.3)  # of the sides of what is erased; both as in arXiv 1708.04896 and torchvision


def run(start: Numbers, length: Numbers, size: int, device: torch.device) -> Tensor:
    """1 from `start` for `length` places, 0 elsewhere, (…, size); what lies beyond either end is cut off."""
    at, first = np.arange(size), start[..., None]
    return tensor(((at >= first) & (at < first + length[..., None])).astype(np.float32), device)


def rectangle(corner: Numbers, sides: Numbers, size: torch.Size, device: torch.device) -> Tensor:
    """1 in a rectangle of pixels, 0 elsewhere, (n, 1, h, w); corner and sides are (n, 2): down, across."""
    height, width = size
    edges = run(corner, sides, max(height, width), device)
    return edges[:, :1, :height, None] * edges[:, 1:, None, :width]


def erase(x: Tensor, draws: Draws, probability: float) -> Tensor:
    """Set a rectangle of an image to 0, the mean of what was normalised (arXiv 1708.04896)."""
    size = np.array(x.shape[-2:])
    area = draws.uniform(*AREA) * size.prod()
    ratio = np.exp(draws.uniform(*np.log(RATIO)))
    sides = np.clip(np.rint(np.sqrt(np.stack([area * ratio, area / ratio], 1))), 1, size)
    corner = np.floor(draws.shares(2) * (size - sides + 1))
    sides *= draws.chance(probability)[:, None]
    return x * (1 - rectangle(corner, sides, x.shape[-2:], x.device))
