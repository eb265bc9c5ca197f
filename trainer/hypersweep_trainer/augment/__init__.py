"""Augmentation of training batches on the device: each row for itself, from the seed of a step alone."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from hypersweep_trainer.augment.draws import Alter, Draws, Places, Take, tensor
from hypersweep_trainer.augment.image import images
from hypersweep_trainer.augment.mix import Mix, pairs
from hypersweep_trainer.augment.sequence import sequences
from hypersweep_trainer.augment.table import tables
from hypersweep_trainer.batch import Batch
from hypersweep_trainer.form import Form
from hypersweep_trainer.options import Options
from hypersweep_trainer.options.inputs import Augmentation

SWITCHES = tuple(
    entry.name
    for entry in fields(Augmentation)
    if entry.name not in ("rand_augment_m", "rand_augment_std")  # these two say how, not whether
)


def wanted(options: Options) -> bool:
    """Whether training rows must pass through `Augment`."""
    return any(getattr(options, name) > 0 for name in SWITCHES)


class Augment:
    """Batches whose rows are augmented, then mixed with one another."""

    def __init__(
        self, options: Options, form: Form, normalise: Callable[[Tensor], Tensor], device: torch.device
    ) -> None:
        self._device = device
        self._alter = _alter(options, form, normalise)
        self._mix = Mix(options, form) if options.mixup_alpha or options.cutmix_alpha else None
        self._swaps = options.swap_noise > 0

    def __call__(self, take: Take, rows: Tensor, share: slice, seed: int) -> Batch:
        """This rank's share of a global batch of rows (count,), which `take` reads by their numbers.

        Equal seeds give equal batches, and the shares of all ranks together are the batch of one rank alone.
        """
        count, rng = len(rows), np.random.default_rng(seed)
        own = np.arange(count)[share]
        if self._mix is None:
            return Batch(*self._alter(take, rows, Draws(rng, count, own, self._device)))
        partner, pair = pairs(count, rng)
        needed, mates = _needed(own, partner)
        x, y = self._alter(take, rows, Draws(rng, count, needed, self._device))
        at = tensor(mates, self._device)
        draws = Draws(rng, (count + 1) // 2, pair[own], self._device)
        return self._mix(x[: len(own)], y[: len(own)], x.index_select(0, at), y.index_select(0, at), draws)

    def taken(self, rows: Tensor, share: slice, seed: int) -> Tensor:
        """The rows that a call takes, (n,): the share's own and those of others that blend with them."""
        if self._swaps:  # a cell may come from any row
            return rows
        own = rows[share]
        if self._mix is None or len(own) == len(rows):
            return own
        partner, _ = pairs(len(rows), np.random.default_rng(seed))
        return rows[torch.from_numpy(_needed(np.arange(len(rows))[share], partner)[0])]


def _needed(own: Places, partner: Places) -> tuple[Places, Places]:
    """A rank's own rows and, after them, partners from beyond; and where in this the partner of each lies."""
    if len(own) == len(partner):
        return own, partner
    place = np.full(len(partner), -1)
    place[own] = np.arange(len(own))
    beyond = partner[own][place[partner[own]] < 0]
    place[beyond] = len(own) + np.arange(len(beyond))
    return np.concatenate([own, beyond]), place[partner[own]]


def _alter(options: Options, form: Form, normalise: Callable[[Tensor], Tensor]) -> Alter:
    match form.task:
        case "image":
            return images(options, form, normalise)
        case "tabular":
            return tables(options, form)
    return sequences(options)
