"""Where a token stands: waves or learned vectors added to it, or rotations of queries and keys."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

BASE = 10_000.0  # ratio of the longest wave to the shortest: arXiv 1706.03762, section 3.5
SPREAD = 0.02  # deviation of learned vectors at the start, as in GPT-2 and ViT

Grid = tuple[int, ...]  # tokens along each axis: (context,) or (rows, columns)
Turn = tuple[Tensor, Tensor]  # sines and cosines, each (places, half of a head's size)


def angles(grid: Grid, bands: int) -> Tensor:
    """Phase of each place of a grid: (places, axes * bands) in float64; one axis after the other."""
    axes = (torch.arange(length, dtype=torch.float64) for length in grid)
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)
    speeds = BASE ** -(torch.arange(bands, dtype=torch.float64) / bands)
    return (places[..., None] * speeds).flatten(1)


def waves(grid: Grid, size: int) -> Tensor:
    """Sines and cosines of each place, (places, size) in float64, zeros where the axes leave a remainder.

    arXiv 1706.03762, section 3.5: of two places only their distance decides the product of their vectors.
    """
    phase = angles(grid, size // (2 * len(grid)))
    found = torch.cat([phase.sin(), phase.cos()], 1)
    return functional.pad(found, (0, size - found.shape[1]))


def turned(x: Tensor, turn: Turn) -> Tensor:
    """Queries or keys (..., places, size), rotated in pairs that are size / 2 apart (arXiv 2104.09864)."""
    sines, cosines = turn
    first, second = x.chunk(2, -1)
    rotated = torch.cat([first * cosines - second * sines, second * cosines + first * sines], -1)
    return rotated.to(x.dtype)  # under autocast x has fewer bits than the sines


class Waves(nn.Module):
    """Adds `waves` to tokens (n, *grid, size), which are scaled to be no quieter (arXiv 1706.03762, 3.4)."""

    table: Tensor

    def __init__(self, grid: Grid, size: int, *, scale: bool) -> None:
        super().__init__()
        self._grid, self._scale = grid, math.sqrt(size) if scale else 1.0
        self.register_buffer("table", waves(grid, size).float().view(*grid, size), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        grid, size = tuple(x.shape[1:-1]), x.shape[-1]
        table = self.table if grid == self._grid else waves(grid, size).to(self.table).view(*grid, size)
        return x * self._scale + table


class Learned(nn.Module):
    """Adds a learned vector of each place; an image of another size takes what lies between the places."""

    def __init__(self, grid: Grid, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*grid, size) * SPREAD)

    def forward(self, x: Tensor) -> Tensor:
        grid, known = x.shape[1:-1], self.weight
        if grid == known.shape[:-1]:
            return x + known
        if len(grid) == 1:  # a shorter text
            return x + known[: grid[0]]
        return x + functional.interpolate(
            known.permute(2, 0, 1)[None], list(grid), mode="bilinear", antialias=True
        )[0].permute(1, 2, 0)


class Rotation(nn.Module):
    """What `turned` needs for queries and keys of `size` numbers: (sines, cosines) of a grid."""

    sines: Tensor
    cosines: Tensor

    def __init__(self, grid: Grid, size: int) -> None:
        super().__init__()
        self._grid, self._bands = grid, size // (2 * len(grid))
        phase = angles(grid, self._bands)
        self.register_buffer("sines", phase.sin().float(), persistent=False)
        self.register_buffer("cosines", phase.cos().float(), persistent=False)

    def forward(self, grid: Grid) -> Turn:
        if grid == self._grid:
            return self.sines, self.cosines
        phase = angles(grid, self._bands)
        return phase.sin().to(self.sines), phase.cos().to(self.cosines)


def added(kind: str, grid: Grid, size: int, *, scale: bool) -> nn.Module:
    """What is added to tokens for `pos_enc`; `scale` where they come from a table of small vectors."""
    match kind:
        case "sincos":
            return Waves(grid, size, scale=scale)
        case "learned":
            return Learned(grid, size)
    return nn.Identity()
