"""RandAugment (arXiv 1909.13719): each image undergoes operations of its own."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from hypersweep_trainer.augment import colour
from hypersweep_trainer.augment.affine import maps, warped
from hypersweep_trainer.augment.draws import Draws, Numbers, Places, tensor

OPERATIONS = (  # the first does nothing, the next five move pixels, the others change them where they are
    "Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
    "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize",
)  # fmt: skip
NUMBER = {name: number for number, name in enumerate(OPERATIONS)}
PIXELS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Brightness": colour.brightness,
    "Color": colour.saturation,
    "Contrast": colour.contrast,
    "Sharpness": colour.sharpness,
    "Posterize": colour.posterize,
    "Solarize": colour.solarize,
    "AutoContrast": lambda x, _: colour.autocontrast(x),
    "Equalize": lambda x, _: colour.equalize(x),
}
STRONGEST = 30.0  # the magnitude of the limits below, which are torchvision's
SHEAR, TRANSLATE, ROTATE, FACTOR, BITS = 0.3, 150 / 331, 30.0, 0.9, 4


def rand_augment(x: Tensor, draws: Draws, count: int, magnitude: float, deviation: float) -> Tensor:
    """Put images (n, c, h, w) from 0 to 1 through `count` operations each."""
    return operated(x, *drawn(draws, count, magnitude, deviation))


def drawn(draws: Draws, count: int, magnitude: float, deviation: float) -> tuple[Places, Numbers]:
    """Operations (n, count), any as likely as any other, and their magnitudes from -30 to 30.

    Their size varies from draw to draw by a normal deviation, their sign is as often the one as the other.
    """
    operations = draws.integers(0, len(OPERATIONS) - 1, count)
    sizes = np.clip(magnitude + deviation * draws.normal(count), 0, STRONGEST)
    return operations, sizes * (2 * draws.integers(0, 1, count) - 1)


def operated(x: Tensor, operations: Places, magnitudes: Numbers) -> Tensor:
    """Images after operations (n, k), each by its magnitude (n, k) from -30 to 30, first column first.

    Images are put in the order of their operation, which then works on one slice: no image is computed that
    does not need it, and a GPU is never asked for what the host knows.
    """
    order = np.arange(len(x))
    for column in range(operations.shape[1]):
        turn = np.argsort(operations[order, column], kind="stable")
        order = order[turn]
        x = x.index_select(0, tensor(turn, x.device))
        _operate(x, operations[order, column], magnitudes[order, column] / STRONGEST)
    return x.index_select(0, tensor(np.argsort(order), x.device))


def _operate(x: Tensor, operations: Places, strength: Numbers) -> None:
    """Change images in place that lie in the order of their operation; `strength` is from -1 to 1."""
    ends = np.searchsorted(operations, np.arange(len(OPERATIONS)), side="right")
    moving = slice(ends[NUMBER["ShearX"] - 1], ends[NUMBER["Rotate"]])
    if moving.stop > moving.start:
        found = _maps(operations[moving], strength[moving], x.shape[-2:])
        x[moving] = warped(x[moving], found, "zeros")
    arguments = tensor(_arguments(operations, strength), x.device).view(-1, 1, 1, 1)
    for name, operation in PIXELS.items():
        mine = slice(ends[NUMBER[name] - 1], ends[NUMBER[name]])
        if mine.stop > mine.start:
            x[mine] = operation(x[mine], arguments[mine])


def _maps(operations: Places, strength: Numbers, size: torch.Size) -> Numbers:
    """The map of each image that is sheared (its first corner stays), shifted by whole pixels or rotated."""

    def limited(name: str, limit: float) -> Numbers:
        return np.where(operations == NUMBER[name], strength * limit, 0.0)

    height, width = size
    shear_x, shear_y = limited("ShearX", SHEAR), limited("ShearY", SHEAR)
    right = np.trunc(limited("TranslateX", TRANSLATE * width))
    down = np.trunc(limited("TranslateY", TRANSLATE * height))
    angle = np.radians(limited("Rotate", ROTATE))
    across = [np.cos(angle), shear_x - np.sin(angle), shear_x * height / 2 - right]
    return maps([across, [shear_y + np.sin(angle), np.cos(angle), shear_y * width / 2 - down]])


def _arguments(operations: Places, strength: Numbers) -> Numbers:
    """What operations take: the step of Posterize, the threshold of Solarize, the factor of the others."""
    size = np.abs(strength)
    step = 2.0 ** (8 - np.rint(8 - BITS * size))
    threshold = np.where(size > 0, 1 - size, 2.0)  # without magnitude even what is white stays
    kinds = [operations == NUMBER["Posterize"], operations == NUMBER["Solarize"]]
    return np.select(kinds, [step, threshold], 1 + FACTOR * strength)
