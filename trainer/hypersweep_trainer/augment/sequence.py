"""What sequences undergo: tokens, or a run of them, are hidden from the network as token 0."""

import numpy as np
from torch import Tensor

from hypersweep_trainer.augment.draws import Alter, Draws, Take
from hypersweep_trainer.augment.rectangle import run
from hypersweep_trainer.options import Options


def sequences(options: Options) -> Alter:
    """Hide single tokens (arXiv 1511.01432), then one run of each row (arXiv 1907.10529); targets stay."""

    def alter(take: Take, rows: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        x, y = take(draws.mine(rows))
        context = x.shape[1]
        if options.token_drop:
            x = x * (draws.cells(context) >= options.token_drop)
        if options.span_mask:
            length = round(options.span_mask * context)
            start = draws.integers(0, context - length, 1)[:, 0].astype(np.float64)
            x = x * (run(start, np.full_like(start, length), context, x.device) == 0)
        return x, y

    return alter
