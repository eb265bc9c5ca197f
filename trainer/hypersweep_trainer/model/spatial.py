"""Layers of maps: what sees the place of a point, the whole map, or several distances at once."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hypersweep_trainer.model import layer
from hypersweep_trainer.options import Options


class Place(nn.Module):
    """Adds each point's coordinates from -1 to 1 as channels, and with `radius` its distance from the middle.

    (n, c, l) -> (n, c + 1, l), (n, c, h, w) -> (n, c + 2, h, w); one more with the radius (arXiv 1807.03247).
    """

    def __init__(self, radius: bool) -> None:
        super().__init__()
        self._radius = radius

    def forward(self, x: Tensor) -> Tensor:
        axes = torch.meshgrid(*(_axis(side, x) for side in x.shape[2:]), indexing="ij")
        radius = (torch.stack(axes).square().sum(0).sqrt(),) if self._radius else ()
        place = torch.stack((*axes, *radius))
        return torch.cat((x, place.expand(len(x), *place.shape)), 1)


def _axis(side: int, like: Tensor) -> Tensor:
    return (
        torch.linspace(-1, 1, side, dtype=like.dtype, device=like.device) if side > 1 else like.new_zeros(1)
    )


class SqueezeExcitation(nn.Module):
    """Scales each channel by what the means of all of them say (arXiv 1709.01507): (n, c, …) -> (n, c, …)."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, max(channels // ratio, 1))
        self.excite = nn.Linear(self.squeeze.out_features, channels)

    def forward(self, x: Tensor) -> Tensor:
        share: Tensor = self.excite(self.squeeze(_mean(x)).relu()).sigmoid()
        return x * share.view(*share.shape, *(1,) * (x.dim() - 2))


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling (arXiv 1706.05587): (n, c, …) -> (n, c, …).

    A branch of single points, one of 3-point convolutions for each dilation and one of the map's mean, then a
    projection of them all to as many channels as there were.
    """

    def __init__(self, options: Options, channels: int, rates: Sequence[int], dims: int) -> None:
        super().__init__()
        shapes = [(1, 1), *((3, rate) for rate in rates)]
        self.branches = nn.ModuleList(_unit(options, channels, channels, *shape, dims) for shape in shapes)
        linear = layer.linear(options, channels, layer.doubled(options, channels))
        self.whole = layer.unit(options, {"linear": linear}, channels, channels)
        self.project = _unit(options, (len(shapes) + 1) * channels, channels, 1, 1, dims)

    def forward(self, x: Tensor) -> Tensor:
        whole = self.whole(_mean(x))
        whole = whole.view(*whole.shape, *(1,) * (x.dim() - 2)).expand_as(x)
        output: Tensor = self.project(torch.cat((*(branch(x) for branch in self.branches), whole), 1))
        return output


def _unit(options: Options, n_in: int, n_out: int, kernel: int, dilation: int, dims: int) -> nn.Sequential:
    conv = layer.conv(options, n_in, layer.doubled(options, n_out), kernel, dims, dilation=dilation)
    return layer.unit(options, {"conv": conv}, n_in, n_out, dims=dims)


class Mean(nn.Module):
    """The mean over all points: (n, c, …) -> (n, c)."""

    def forward(self, x: Tensor) -> Tensor:
        return _mean(x)


def _mean(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.dim())))
