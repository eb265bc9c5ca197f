"""What changes the pixels of an image in place: batches of float images from 0 to 1, (n, c, h, w).

An argument has the shape (n, 1, 1, 1). The formulas are those of PIL, as torchvision has them.
"""

import torch
from torch import Tensor

from hypersweep_trainer.augment.draws import Draws, tensor

GREY = (0.2989, 0.587, 0.114)  # ITU-R 601-2


def grey(x: Tensor) -> Tensor:
    """The brightness of each pixel, (n, 1, h, w): the mean where channels are not red, green and blue."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    red, green, blue = x.unsqueeze(2).unbind(1)
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    return (x * factor).clamp_(0, 1)


def saturation(x: Tensor, factor: Tensor) -> Tensor:
    return _blend(grey(x), x, factor)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    return _blend(grey(x).flatten(1).mean(1)[:, None, None, None], x, factor)


def sharpness(x: Tensor, factor: Tensor) -> Tensor:
    """From a blur (0) over the image (1) to what the blur takes away (2); the outermost pixels stay."""
    if min(x.shape[-2:]) < 3:
        return x
    inner = x[..., 1:-1, 1:-1]
    lines = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    block = lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:]
    sharp = x.clone()
    sharp[..., 1:-1, 1:-1] = _blend((block + 4 * inner) / 13, inner, factor)
    return sharp


def posterize(x: Tensor, step: Tensor) -> Tensor:
    """Of 256 levels keep each `step`-th, a power of two."""
    return (x * 255).round_().div_(step).floor_().mul_(step / 255)


def solarize(x: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(x >= threshold, 1 - x, x)


def autocontrast(x: Tensor) -> Tensor:
    """Stretch each channel to 0 … 1; one that is flat stays."""
    low, high = x.flatten(2).aminmax(dim=2)
    flat = low == high
    start, span = torch.where(flat, 0, low), torch.where(flat, 1, high - low)
    return ((x - start[..., None, None]) / span[..., None, None]).clamp_(0, 1)


def equalize(x: Tensor) -> Tensor:
    """Make the 256 levels of each channel equally frequent; one of too few pixels for that stays."""
    levels = (x * 255).round_().long().flatten(2)
    counts = levels.new_zeros((*levels.shape[:2], 256))
    counts.scatter_add_(2, levels, levels.new_ones(()).expand_as(levels))
    below = counts.cumsum(2) - counts
    brightest = levels.amax(2, keepdim=True)
    step = below.gather(2, brightest) // 255  # pixels that are not of the brightest level, in 255 parts
    level = (below + step // 2).div_(step.clamp(min=1), rounding_mode="floor").clamp_(max=255)
    found = (level / 255).gather(2, levels)
    return torch.where(step > 0, found, x.flatten(2)).view(x.shape)


def hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the colour circle of red, green and blue; 1 is once around."""
    high, low = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    span = high - low
    red, green, blue = x.unsqueeze(2).unbind(1)
    in_red = (red == high).float()  # sums of products: torch.where is several times as slow
    in_green = (green == high).float() * (1 - in_red)
    in_blue = 1 - in_red - in_green
    along = (green - blue) * in_red + (blue - red) * in_green + (red - green) * in_blue
    sixths = along / span.clamp(min=1e-12) + 2 * in_green + 4 * in_blue + 6 * turn
    sixths = sixths + (5 - 2 * torch.arange(3, device=x.device)).view(3, 1, 1)
    sixths = sixths - 6 * (sixths / 6).floor_()
    return high - span * torch.minimum(sixths, 4 - sixths).clamp_(0, 1)


def jitter(x: Tensor, draws: Draws, strength: float) -> Tensor:
    """Brightness and contrast by factors of 1 ± strength, of colour images also saturation, then hue.

    The hue turns by up to a quarter of the strength, the proportion of arXiv 2002.05709.
    """
    steps = [brightness, contrast, saturation] if x.shape[1] == 3 else [brightness, contrast]
    for step in steps:
        factor = draws.uniform(1 - strength, 1 + strength)
        x = step(x, tensor(factor, x.device).view(-1, 1, 1, 1))
    if x.shape[1] != 3:
        return x
    return hue(x, tensor(draws.uniform(-strength, strength) / 4, x.device).view(-1, 1, 1, 1))


def _blend(degenerate: Tensor, x: Tensor, factor: Tensor) -> Tensor:
    """What lies between two images, or beyond the second: at 0 the one, at 1 the other."""
    return (x - degenerate).mul_(factor).add_(degenerate).clamp_(0, 1)
