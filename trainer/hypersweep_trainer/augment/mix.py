"""MixUp (arXiv 1710.09412) and CutMix (arXiv 1905.04899): rows of a batch in pairs that give to each other.

Both rows of a pair draw the same share and the same place, so that the mean of the batch stays as it is.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hypersweep_trainer.augment.draws import Draws, Numbers, Places, tensor
from hypersweep_trainer.augment.rectangle import rectangle, run
from hypersweep_trainer.batch import Batch
from hypersweep_trainer.form import Form
from hypersweep_trainer.options import Options


def pairs(count: int, rng: np.random.Generator) -> tuple[Places, Places]:
    """The partner of each row and the number of its pair, (count,) each; of an odd count one row is alone."""
    order = rng.permutation(count)
    partner, number = np.arange(count), np.empty(count, np.int64)
    one, other = order[: count - 1 : 2], order[1::2]
    partner[one], partner[other] = other, one
    number[order] = np.arange(count) // 2
    return partner, number


class Mix:
    """Either or both, of which a pair then undergoes one with equal probability."""

    def __init__(self, options: Options, form: Form) -> None:
        self._mixup, self._cutmix = options.mixup_alpha, options.cutmix_alpha
        self._part = PARTS[form.task]
        # What has a target for each place: it moves with the place, and no row's target is blended.
        self._aligned = form.target in ("tokens", "reconstruction")

    def __call__(self, x: Tensor, y: Tensor, other: Tensor, other_y: Tensor, draws: Draws) -> Batch:
        """Rows blended with their partners (n, …); `draws` are of their pairs."""
        if not self._cutmix:
            share = tensor(draws.beta(self._mixup), x.device)
            return Batch(x, y, other, share, other_y, share)
        lam = draws.beta(self._cutmix)
        if not self._mixup:
            mixed, y, weight = self._cut(x, y, other, other_y, draws, lam)
            return Batch(mixed, y) if self._aligned else Batch(mixed, y, None, None, other_y, weight)
        cut = draws.chance(0.5)
        mixed, y, weight = self._cut(x, y, other, other_y, draws, np.where(cut, lam, 1.0))
        share = tensor(np.where(cut, 1.0, draws.beta(self._mixup)), x.device)
        return Batch(mixed, y, other, share, other_y, share * weight)

    def _cut(
        self, x: Tensor, y: Tensor, other: Tensor, other_y: Tensor, draws: Draws, lam: Numbers
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of which a part, 1 - lam within their edges, is their partner's; their targets and weights."""
        part = self._part(draws, lam, x)
        mixed = _swapped(x, other, part, None if self._mixup else other)
        if self._aligned:
            return mixed, _swapped(y, other_y, part), torch.ones(len(x), device=x.device)
        return mixed, y, 1 - part.flatten(1).mean(1)


def _swapped(x: Tensor, other: Tensor, part: Tensor, out: Tensor | None = None) -> Tensor:
    """Rows with a part of others; `out` may be the others, where nothing else needs them any more."""
    if x.is_floating_point():
        return torch.lerp(x, other, part, out=out)  # exact at 0 and 1, and many times as fast as torch.where
    return torch.where(part > 0, other, x)


def _box(draws: Draws, lam: Numbers, x: Tensor) -> Tensor:
    """1 in a rectangle around any pixel, sides sqrt(1 - lam) of the image's, cut off at its edges."""
    size = np.array(x.shape[-2:])
    sides = np.trunc(np.sqrt(1 - lam)[:, None] * size)
    corner = np.floor(draws.shares(2) * size) - sides // 2
    return rectangle(corner, sides, x.shape[-2:], x.device)


def _columns(draws: Draws, lam: Numbers, x: Tensor) -> Tensor:
    """1 in columns that are chosen with a probability of 1 - lam each."""
    return (draws.cells(x.shape[1]) >= tensor(lam, x.device)[:, None]).float()


def _span(draws: Draws, lam: Numbers, x: Tensor) -> Tensor:
    """1 in a run of the share 1 - lam, anywhere in the sequence."""
    context = x.shape[1]
    length = np.rint((1 - lam) * context)
    start = np.floor(draws.shares(1)[:, 0] * (context - length + 1))
    return run(start, length, context, x.device)


PARTS: dict[str, Callable[[Draws, Numbers, Tensor], Tensor]] = {
    "image": _box,
    "tabular": _columns,
    "sequence": _span,
}
