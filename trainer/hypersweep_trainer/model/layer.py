"""The layers that networks are built of."""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hypersweep_trainer.model.activation import activation, gated
from hypersweep_trainer.model.convolution import conv, pointwise
from hypersweep_trainer.model.drop import StochasticDepth, Transposed, dropout, linear
from hypersweep_trainer.model.norm import norm
from hypersweep_trainer.options import Options

__all__ = [
    "Residual", "StochasticDepth", "Transposed", "activation", "conv", "doubled", "dropout", "gated",
    "linear", "norm", "pointwise", "sequence", "skips", "unit",
]  # fmt: skip
NOTHING: Mapping[str, nn.Module] = {}


class Residual(nn.Module):
    """skip(x) + drop(inner(x)) (arXiv 1512.03385), where the branch is dropped row by row with probability p.

    Where `zero` is set, a learnt factor of the branch starts at 0, so that the block is `skip` at first
    (arXiv 2003.04887); a last norm that starts at 0 (arXiv 1706.02677) would not do for every nonlinearity.
    """

    def __init__(
        self, inner: nn.Module, skip: nn.Module | None = None, p: float = 0.0, zero: bool = False
    ) -> None:
        super().__init__()
        self.inner = inner
        self.skip = skip
        self.drop = StochasticDepth(p) if p else None
        self.scale = nn.Parameter(torch.zeros(())) if zero else None

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.inner(x)
        if self.scale is not None:
            branch = branch * self.scale
        if self.drop is not None:
            branch = self.drop(branch)
        return branch + (x if self.skip is None else self.skip(x))


def skips(options: Options, blocks: int) -> bool:
    """Whether blocks have skip connections, when there are so many of them."""
    return options.residual == "on" or (options.residual == "auto" and blocks > 3)


def doubled(options: Options, units: int) -> int:
    """How many units a layer must have for `units` to be left after the nonlinearity."""
    return 2 * units if gated(options.activation) else units


def unit(
    options: Options,
    weights: Mapping[str, nn.Module],
    n_in: int,
    n_out: int,
    *,
    dims: int = 0,
    first: bool = False,
    after: Mapping[str, nn.Module] = NOTHING,
) -> nn.Sequential:
    """Weights with norm, nonlinearity and dropout around them, for rows or maps of `dims` dimensions.

    With `norm_position: pre`, all layers norm their input but the first one, whose data is scaled already.
    `after` comes between nonlinearity and dropout.
    """
    kind = "map" if dims else "flat"
    parts: dict[str, nn.Module] = dict(weights)
    if options.norm_position == "post":
        parts["norm"] = norm(options, doubled(options, n_out), kind, dims)
    elif not first:
        parts = {"norm": norm(options, n_in, kind, dims), **parts}
    parts["activation"] = activation(options.activation, 1)
    return sequence(**parts, **after, dropout=dropout(options, spatial=dims > 0))


def sequence(**parts: nn.Module) -> nn.Sequential:
    """The parts one after the other under their names, without those that do nothing."""
    return nn.Sequential(
        OrderedDict((name, part) for name, part in parts.items() if not isinstance(part, nn.Identity))
    )
