"""Images moved, mirrored, turned and cut out; what comes in from beyond an edge is a reflection."""

import numpy as np
from torch import Tensor

from hypersweep_trainer.augment.affine import maps, warped
from hypersweep_trainer.augment.draws import Draws, Flags, Numbers, Places, tensor

RATIO = (3 / 4, 4 / 3)  # of the sides of a random resized crop: arXiv 1409.4842


def moved(x: Tensor, draws: Draws, flip: float, flip_vertical: float, pad: int) -> Tensor:
    """Flip images, and shift them by up to `pad` pixels in each direction: no pixel is a blend of others."""
    height, width = x.shape[-2:]
    shifts = draws.integers(-pad, pad, 2)
    lines = _sources(height, shifts[:, 0], draws.chance(flip_vertical))
    columns = _sources(width, shifts[:, 1], draws.chance(flip))
    index = tensor(lines * width, x.device)[:, :, None] + tensor(columns, x.device)[:, None, :]
    every = index.flatten(1)[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, every).view(x.shape)


def _sources(size: int, shift: Places, mirrored: Flags) -> Places:
    """Which line of an image comes to each place, (n, size)."""
    at = np.arange(size) + shift[:, None]
    at = np.where(mirrored[:, None], size - 1 - at, at)
    period = max(2 * (size - 1), 1)
    at = at % period
    return np.where(at < size, at, period - at)


def turned(x: Tensor, draws: Draws, least: float, degrees: float, zoom: float) -> Tensor:
    """Cut out at least the share `least` of the area (0: no cut) and scale it up, then rotate and zoom.

    The cut's area is uniform from `least` to 1, the ratio of its sides log-uniform in as much of RATIO as the
    image can hold (arXiv 1409.4842), angle and scale are uniform in ±degrees and 1 ± zoom. All of it is one
    bilinear sampling.
    """
    height, width = x.shape[-2:]
    share_x, share_y, left, top = _cut(draws, least or 1.0, width / height)
    angle = np.radians(draws.uniform(-degrees, degrees))
    scale = draws.uniform(1 - zoom, 1 + zoom)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    across = [share_x * cos, -share_x * sin, left * width]
    down = [share_y * sin, share_y * cos, top * height]
    return warped(x, maps([across, down]), "reflection")


def _cut(draws: Draws, least: float, shape: float) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Width and height of cuts as shares of an image, and how far their middle is from its own, likewise."""
    area = draws.uniform(least, 1.0)
    fitting = area * shape, shape / area  # ratios at which the cut is as high, and as wide, as the image
    low, high = (np.clip(np.log(bound), *np.log(fitting)) for bound in RATIO)
    place = draws.shares(3)
    ratio = np.exp(low + (high - low) * place[:, 0])
    across, down = np.sqrt(area * ratio / shape), np.sqrt(area / ratio * shape)
    return across, down, (place[:, 1] - 0.5) * (1 - across), (place[:, 2] - 0.5) * (1 - down)
