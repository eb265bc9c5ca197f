"""The first stage of a run, which needs no labels: its network, its batches and its loss.

They stand where the second stage has its own: `build(options, form)`, `augment.Augment`, `loss.Loss`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersweep_trainer.batch import Batch
from hypersweep_trainer.form import Form
from hypersweep_trainer.model.embed import OneHot
from hypersweep_trainer.model.mlp import mlp
from hypersweep_trainer.model.network import Network
from hypersweep_trainer.model.transfer import adopt
from hypersweep_trainer.model.transformer import assemble, places
from hypersweep_trainer.options import Options

UNASKED = -100  # the token that torch's cross-entropy passes over

Take = Callable[[Tensor], tuple[Tensor, Tensor]]


def first(options: Options, form: Form) -> Network:
    """The network of the first stage, whose embedding and body are those of `build(options, form)`.

    It rebuilds rows, (n, *shape), those of a table as numbers and one-hot categories, (n, numbers +
    categories), or predicts tokens, (n, context, vocabulary).
    """
    if form.task == "sequence":
        form = replace(form, target="tokens", outputs=form.vocabulary)
        head = nn.Linear(options.width, form.vocabulary)
        return assemble(options, form, head, causal=options.pretrain == "lm", pooled=False)
    if form.task == "tabular":
        form = replace(form, outputs=form.numbers + sum(codes - 1 for codes in form.categories))
    else:
        form = replace(form, outputs=math.prod(form.shape))
    form = replace(form, target="reconstruction", bounds=None)
    if options.model == "mlp":
        return mlp(options, form)
    patches = nn.Linear(options.width, form.shape[0] * options.patch**2)
    image = Image(form.shape, places(options, form), options.patch)
    return assemble(options, form, nn.Sequential(patches, image), causal=False, pooled=False)


def second(network: Network, before: Network) -> None:
    """Give the network of the second stage all that the first one learnt, but for its head."""
    learnt = before.state_dict()
    adopt(network, {name: weight for name, weight in learnt.items() if not name.startswith("head.")})


class Image(nn.Module):
    """Patches (n, places, c * side²) -> the pixels of images, (n, c * height * width)."""

    def __init__(self, shape: tuple[int, ...], grid: tuple[int, ...], side: int) -> None:
        super().__init__()
        self._shape, self._grid, self._side = shape, grid, side

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = self._shape
        x = x.reshape(len(x), *self._grid, channels, self._side, self._side)
        x = x.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        return x[:, :, :height, :width].flatten(1)


class Puzzles:
    """Batches of the first stage: rows of which a part is hidden, and what is asked of them.

    `mask_fraction` of a row's tokens, patches, pixels or columns is 0 in `x`, and `y` asks for it alone: the
    rest is NaN, or UNASKED of tokens. Without a mask `y` asks for the whole row, or for each next token.
    """

    def __init__(
        self, options: Options, form: Form, normalise: Callable[[Tensor], Tensor], device: torch.device
    ) -> None:
        self._options, self._form, self._normalise = options, form, normalise
        self._generator = torch.Generator(device)
        self._answer = OneHot(form.numbers, form.categories).to(device) if form.categories else nn.Identity()
        answers = [1] * form.numbers + [codes - 1 for codes in form.categories]  # of each column
        owners = [column for column, count in enumerate(answers) for _ in range(count)]
        self._column = torch.tensor(owners, dtype=torch.int64, device=device)

    def __call__(self, take: Take, rows: Tensor, share: slice, seed: int) -> Batch:
        """Rows `share` of a global batch; what is hidden is drawn for all of it, so any ranks agree."""
        x = self._normalise(take(rows[share])[0])
        match self._options.pretrain:
            case "lm":
                return Batch(x, functional.pad(x[:, 1:], (0, 1), value=UNASKED))
            case "autoencoder":
                return Batch(x, self._answer(x))
        self._generator.manual_seed(seed)
        hidden = self._hidden(len(rows))[share]
        asked = hidden.index_select(1, self._column) if self._form.task == "tabular" else hidden
        other = UNASKED if self._form.task == "sequence" else math.nan
        return Batch(x.masked_fill(hidden, 0), torch.where(asked, self._answer(x), other))

    def taken(self, rows: Tensor, share: slice, seed: int) -> Tensor:
        """The rows that a call takes."""
        return rows[share]

    def _hidden(self, count: int) -> Tensor:
        """Which parts of `count` rows are hidden, in the shape of the rows or one that spreads to it."""
        options, form = self._options, self._form
        if form.task != "image":
            return scattered((count, *form.shape), options.mask_fraction, self._generator)
        side = options.patch if options.model == "transformer" else 1
        height, width = form.shape[1:]
        grid = (-(-height // side), -(-width // side))
        hidden = scattered((count, *grid), options.mask_fraction, self._generator)
        hidden = hidden.repeat_interleave(side, 1).repeat_interleave(side, 2)
        return hidden[:, None, :height, :width]


def scattered(shape: tuple[int, ...], fraction: float, generator: torch.Generator) -> Tensor:
    """True at a share of each row's places, as many in each, at least one: bool of shape (rows, *places)."""
    places = math.prod(shape[1:])
    chances = torch.rand(shape[0], places, generator=generator, device=generator.device)
    return (chances.argsort(1) < max(round(fraction * places), 1)).view(shape)


class Answered:
    """The loss of the first stage: squared error of what is asked for, cross-entropy where it is tokens."""

    def mean(self, output: Tensor, y: Tensor) -> Tensor:
        """Over rows, each of which counts the mean over what is asked of it."""
        return self._rows(output, y).mean()

    def total(self, output: Tensor, batch: Batch) -> Tensor:
        """Over rows, summed."""
        return self._rows(output, batch.y).sum()

    def _rows(self, output: Tensor, y: Tensor) -> Tensor:
        if y.dtype == torch.int64:
            asked = y != UNASKED
            losses = functional.cross_entropy(output.flatten(0, 1), y.flatten(), reduction="none").view_as(y)
        else:
            asked = ~y.isnan()
            losses = torch.where(asked, output - y, 0).square()
        return losses.flatten(1).sum(1) / asked.flatten(1).sum(1).clamp(min=1)


@dataclass(frozen=True)
class Stage:
    """All that a run's first stage has of its own."""

    network: Network
    batches: Puzzles
    loss: Answered


def stage(options: Options, form: Form, normalise: Callable[[Tensor], Tensor], device: torch.device) -> Stage:
    """The first stage that `pretrain` names; its network is on the CPU, from torch's default generator."""
    return Stage(first(options, form), Puzzles(options, form, normalise, device), Answered())
