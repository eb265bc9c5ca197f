"""What the rows of a table undergo: noise, and cells of other rows."""

import torch
from torch import Tensor
from torch.nn import functional

from hypersweep_trainer.augment.draws import Alter, Draws, Take, tensor
from hypersweep_trainer.form import Form
from hypersweep_trainer.options import Options


def tables(options: Options, form: Form) -> Alter:
    """Swap noise (any column), then normal noise (columns of numbers, which come first); targets stay."""

    def alter(take: Take, rows: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        if options.swap_noise:
            everyone, targets = take(rows)
            x, y = _swapped(everyone, draws, options.swap_noise), draws.mine(targets)
        else:
            x, y = take(draws.mine(rows))
        if options.noise:
            noise = draws.noise(form.numbers)
            x = x.add(functional.pad(noise, (0, x.shape[1] - form.numbers)), alpha=options.noise)
        return x, y

    return alter


def _swapped(everyone: Tensor, draws: Draws, probability: float) -> Tensor:
    """The rows drawn for, each cell with a probability from another row of the batch (count, columns)."""
    chosen = draws.cells(everyone.shape[1]) / probability  # evenly distributed where it is below 1
    away = torch.where(chosen < 1, (chosen * (draws.count - 1)).long() + 1, 0)
    donors = (tensor(draws.places, everyone.device)[:, None] + away) % draws.count
    return everyone.gather(0, donors)
