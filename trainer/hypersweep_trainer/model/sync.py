"""Batch norm over the rows of all ranks: torch's own on GPUs, and one for processes without them."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def synchronise(network: nn.Module, device: torch.device) -> None:
    """Replace the batch norms inside a network; parameters and running means are kept.

    Call it before parameters are frozen and before DDP wraps the network.
    """
    for name, child in network.named_children():
        if not isinstance(child, _BatchNorm):
            synchronise(child, device)
        elif device.type == "cuda":
            setattr(network, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
        else:
            setattr(network, name, Synchronised(child))


class Synchronised(nn.Module):
    """x (n, channels, …) -> the same, normalised over the rows and places of all ranks."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.momentum, self.eps = norm.momentum or 0.0, norm.eps
        self.register_buffer("running_mean", norm.running_mean)
        self.register_buffer("running_var", norm.running_var)
        self.register_buffer("num_batches_tracked", norm.num_batches_tracked)

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self._statistics(x) if self.training else (self.running_mean, self.running_var)
        factor = self.weight / (variance + self.eps).sqrt()
        mean, factor, bias = (part.view(-1, *(1,) * (x.dim() - 2)) for part in (mean, factor, self.bias))
        return ((x - mean) * factor + bias).to(x.dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        over = [axis for axis in range(x.dim()) if axis != 1]
        wide = x.double()  # or little is left of a small variance beside a large mean
        count = wide.new_tensor([x.numel() / x.shape[1]])
        sums = Summed.apply(torch.cat([wide.sum(over), wide.square().sum(over), count]))
        total, (mean, square) = sums[-1], (sums[:-1] / sums[-1]).chunk(2)
        variance = square - mean.square()
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.float(), self.momentum)
            self.running_var.lerp_((variance * total / (total - 1)).float(), self.momentum)
        return mean.float(), variance.float()


class Summed(torch.autograd.Function):
    """The sum of a tensor over ranks; so is its gradient's."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        found = values.clone()
        dist.all_reduce(found)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        found = gradients[0].clone()
        dist.all_reduce(found)
        return found
