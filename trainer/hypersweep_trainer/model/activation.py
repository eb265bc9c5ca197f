"""Nonlinearities by name, plain and gated."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional


class Swish(nn.Module):
    """x sigmoid(beta x) with a beta that is learnt, 1 at first (arXiv 1710.05941)."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.beta * x)


class LecunTanh(nn.Module):
    """1.7159 tanh(2x/3): about 1 at 1 and -1 at -1 (LeCun et al. 1998, Efficient BackProp, 4.4)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Gate(nn.Module):
    """The first half of a dimension times a function of the second half (arXiv 2002.05202)."""

    def __init__(self, function: Callable[[Tensor], Tensor], dim: int) -> None:
        super().__init__()
        self._function, self._dim = function, dim

    def forward(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, self._dim)
        return value * self._function(gate)


PLAIN: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "swish": Swish,
    "mish": nn.Mish,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "tanh": nn.Tanh,
    "lecun_tanh": LecunTanh,
    "sigmoid": nn.Sigmoid,
}
GATED: Mapping[str, Callable[[Tensor], Tensor]] = {
    "glu": torch.sigmoid,
    "geglu": functional.gelu,
    "swiglu": functional.silu,
}


def activation(name: str, dim: int = -1) -> nn.Module:
    """A nonlinearity; a gated one halves dimension `dim`: -1 of rows and tokens, 1 of maps."""
    return Gate(GATED[name], dim) if name in GATED else PLAIN[name]()


def gated(name: str) -> bool:
    """Whether a nonlinearity halves its input, so that the layer before it must be twice as wide."""
    return name in GATED
