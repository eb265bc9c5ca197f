"""Images seen through an affine map, one map for each image."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hypersweep_trainer.augment.draws import Numbers, tensor


def warped(x: Tensor, maps: Numbers, padding: str) -> Tensor:
    """Images (n, c, h, w) whose pixel at (x, y) is what `maps` (n, 2, 3) finds for (x, y, 1), bilinear.

    Coordinates are pixels from the middle of an image. Beyond its edge `padding` says what there is: `zeros`
    or `reflection`.
    """
    height, width = x.shape[-2:]
    # in the units of grid_sample: -1 and 1 are the outer edges of the first and the last pixel
    scaled = tensor(maps * np.array([[2 / width], [2 / height]]), x.device)[:, None, None]
    columns = scaled[..., 0] * _middle(width, x.device)[:, None]
    lines = scaled[..., 1] * _middle(height, x.device)[:, None, None] + scaled[..., 2]
    grid = columns + lines  # (n, h, w, 2); faster than the matrix products of affine_grid
    return functional.grid_sample(x, grid, padding_mode=padding, align_corners=False)


def maps(rows: list[list[Numbers]]) -> Numbers:
    """Maps (n, 2, 3) from their entries, (n,) each."""
    return np.stack([np.stack(row, 1) for row in rows], 1)


def _middle(size: int, device: torch.device) -> Tensor:
    """How far the middle of each pixel lies from the middle of all."""
    return torch.arange(size, device=device) - (size - 1) / 2
