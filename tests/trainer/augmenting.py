"""Builders for augmented batches: rows in memory, and one call of `Augment` as the loop makes it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hypersweep_trainer.augment import Augment
from hypersweep_trainer.augment.draws import Draws
from hypersweep_trainer.batch import Batch
from hypersweep_trainer.form import Form
from hypersweep_trainer.options import Options

CPU = torch.device("cpu")


def images(count: int, channels: int = 3, height: int = 32, width: int = 32) -> Tensor:
    """Images of 256 levels with soft shapes and some noise, (n, c, h, w) from 0 to 1."""
    generator = torch.Generator().manual_seed(count * channels + height)
    coarse = torch.rand(count, channels, 4, 4, generator=generator)
    soft = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    noisy = 0.8 * soft + 0.2 * torch.rand(soft.shape, generator=generator)
    return (noisy * 255).round() / 255


def a_form(x: Tensor, target: str = "classification", numbers: int = 0) -> Form:
    """The form of rows (n, …): images have four dimensions, whole numbers are tokens, others columns."""
    task = "image" if x.ndim == 4 else "tabular" if x.is_floating_point() else "sequence"
    return Form(task, target, tuple(x.shape[1:]), 10, numbers)


def augmented(
    x: Tensor,
    y: Tensor | None = None,
    *,
    form: Form | None = None,
    share: slice = slice(None),
    seed: int = 7,
    normalise: Callable[[Tensor], Tensor] = lambda x: x,
    **options: Any,
) -> Batch:
    """What becomes of a batch that holds all rows in their order."""
    labels = torch.arange(len(x)) if y is None else y
    augment = Augment(Options(**options), form or a_form(x), normalise, CPU)
    return augment(lambda rows: (x[rows], labels[rows]), torch.arange(len(x)), share, seed)


def draws(count: int, seed: int = 7, places: slice = slice(None)) -> Draws:
    return Draws(np.random.default_rng(seed), count, np.arange(count)[places], CPU)
