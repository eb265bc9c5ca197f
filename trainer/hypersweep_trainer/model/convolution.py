"""Convolutions of sequences and images that keep the resolution whatever their kernel."""

from torch import Tensor, nn
from torch.nn import functional

from hypersweep_trainer.options import Options


class Conv1d(nn.Conv1d):
    """Convolution of (n, c, l), with `extra` more zeros on the right and DropConnect of probability p."""

    extra, p = 0, 0.0

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, self.extra)) if self.extra else x
        weight = functional.dropout(self.weight, self.p, self.training)
        output: Tensor = self._conv_forward(x, weight, self.bias)
        return output


class Conv2d(nn.Conv2d):
    """Convolution of (n, c, h, w), with `extra` more zeros on the right and below, and DropConnect."""

    extra, p = 0, 0.0

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, self.extra, 0, self.extra)) if self.extra else x
        weight = functional.dropout(self.weight, self.p, self.training)
        output: Tensor = self._conv_forward(x, weight, self.bias)
        return output


def conv(
    options: Options, n_in: int, n_out: int, kernel: int, dims: int = 2, stride: int = 1, dilation: int = 1
) -> nn.Conv1d | nn.Conv2d:
    """A hidden convolution over `dims` dimensions, with DropConnect where the options want it.

    Each side keeps ceil(side / stride) points; of an odd number of zeros around it, one more is on the right.
    """
    padding, extra = divmod(dilation * (kernel - 1), 2)
    shape = (n_in, n_out, kernel, stride, padding, dilation)
    if not extra and not options.dropconnect:
        return (nn.Conv2d if dims == 2 else nn.Conv1d)(*shape)
    layer = (Conv2d if dims == 2 else Conv1d)(*shape)
    layer.extra, layer.p = extra, options.dropconnect
    return layer


def pointwise(n_in: int, n_out: int, dims: int = 2, stride: int = 1) -> nn.Conv1d | nn.Conv2d:
    """A projection of each point's channels, for skip connections."""
    return (nn.Conv2d if dims == 2 else nn.Conv1d)(n_in, n_out, 1, stride)
