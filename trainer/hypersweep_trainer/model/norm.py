"""Normalisation by name, for rows, maps and tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersweep_trainer.options import Options

EPS = 1e-6


class RMSNorm(nn.Module):
    """Root mean square over the last dimension (arXiv 1910.07467): (…, channels) -> (…, channels)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype)  # where they differ, under autocast, torch is slow and warns
        return functional.rms_norm(x, weight.shape, weight, EPS)


class MapRMSNorm(RMSNorm):
    """The same over the channels of each point: (n, channels, …) -> (n, channels, …)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class TokenGroupNorm(nn.GroupNorm):
    """Group norm of each token by itself: (n, l, c) -> (n, l, c)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).view_as(x)


def norm(options: Options, channels: int, kind: str, dims: int = 2) -> nn.Module:
    """The norm that `options.norm` names, an Identity for none.

    kind: flat (n, channels), map (n, channels, …) with `dims` more dimensions, or token (n, l, channels).
    Raises ValueError where a norm would see a single unit, which it would make the same whatever it is.
    """
    name = options.norm
    if channels < 2 and kind != "map" and name in ("layer", "group", "rms"):
        raise ValueError(f"norm: {name} needs layers of at least 2 units, but found {channels}")
    match name, kind:
        case "batch", "map" if dims == 2:
            return nn.BatchNorm2d(channels)
        case "batch", _:
            return nn.BatchNorm1d(channels)
        case "layer", "map":
            return nn.GroupNorm(1, channels)
        case "layer", _:
            return nn.LayerNorm(channels)
        case "group", "map":
            return nn.GroupNorm(_groups(options.norm_groups, channels), channels)
        case "group", _:
            groups = _groups(min(options.norm_groups, channels - 1), channels)  # of two units at least
            return (TokenGroupNorm if kind == "token" else nn.GroupNorm)(groups, channels)
        case "rms", "map":
            return MapRMSNorm(channels)
        case "rms", _:
            return RMSNorm(channels)
    return nn.Identity()


def _groups(most: int, channels: int) -> int:
    """Groups that share the channels out evenly, as many as there can be."""
    return next(groups for groups in range(min(most, channels), 0, -1) if channels % groups == 0)
