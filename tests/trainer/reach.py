"""How large a network is, and how far its outputs see."""

from torch import Tensor, nn


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def seen(module: nn.Module, rows: Tensor, point: tuple[int, ...]) -> Tensor:
    """Which points of the input move the output at a point, found by gradients."""
    rows = rows.requires_grad_()
    module(rows)[(slice(None), slice(None), *point)].square().sum().backward()
    return rows.grad.abs().amax((0, 1)) > 0


def extent(found: Tensor) -> int:
    """How many points of the last axis lie between the first and the last that are set, both counted."""
    places = found.reshape(-1, found.shape[-1]).any(0).nonzero()
    return int(places.max() - places.min()) + 1
