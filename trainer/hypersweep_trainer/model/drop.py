"""Noise on activations, weights and whole blocks; all of it draws from the device's default generator."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersweep_trainer.options import Options


class StdDropout(nn.Module):
    """Dropout that keeps the deviation of centred input: what stays grows by 1/sqrt(1-p), not 1/(1-p)."""

    def __init__(self, p: float, spatial: bool = False) -> None:
        super().__init__()
        self.p, self._spatial = p, spatial
        self._shrink = math.sqrt(1 - p)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return (torch.feature_dropout if self._spatial else torch.dropout)(x, self.p, True) * self._shrink


class ChannelDropout(nn.Module):
    """Dropout of whole channels: (n, c, …) -> (n, c, …)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return torch.feature_dropout(x, self.p, self.training)


class StochasticDepth(nn.Module):
    """Sets rows of a branch to 0 with probability p; the others grow by 1/(1-p) (arXiv 1603.09382)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return x * functional.dropout(x.new_ones(len(x), *(1,) * (x.dim() - 1)), self.p)


class DropLinear(nn.Linear):
    """Linear whose weights each training step drops anew: DropConnect (Wan et al., ICML 2013)."""

    def __init__(self, n_in: int, n_out: int, p: float, bias: bool = True) -> None:
        super().__init__(n_in, n_out, bias)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, functional.dropout(self.weight, self.p, self.training), self.bias)


class Transposed(nn.Module):
    """The weights of a Linear the other way round, with a bias of its own: (n, outputs) -> (n, inputs)."""

    def __init__(self, source: nn.Linear, p: float = 0.0) -> None:
        super().__init__()
        self.weight = source.weight
        self.bias = nn.Parameter(torch.zeros(source.in_features))
        self.p = p  # of DropConnect

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, functional.dropout(self.weight, self.p, self.training).t(), self.bias)


def dropout(options: Options, spatial: bool = False) -> nn.Module:
    """Dropout as the options want it, or an Identity; `spatial` drops whole channels of maps (n, c, …)."""
    p = options.dropout
    if not p:
        return nn.Identity()
    match options.dropout_scale:
        case "std":
            return StdDropout(p, spatial)
        case "alpha":
            return nn.FeatureAlphaDropout(p) if spatial else nn.AlphaDropout(p)
    return ChannelDropout(p) if spatial else nn.Dropout(p)


def linear(options: Options, n_in: int, n_out: int, bias: bool = True) -> nn.Linear:
    """A hidden Linear, with DropConnect where the options want it."""
    if options.dropconnect:
        return DropLinear(n_in, n_out, options.dropconnect, bias)
    return nn.Linear(n_in, n_out, bias)
