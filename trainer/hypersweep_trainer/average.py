"""A running mean of the weights, which evaluation uses in their place (Polyak and Juditsky 1992)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """Exponential mean of the weights after each step.

    After t steps it counts them by decay^(t-1) … 1, divided by the sum of these shares (as Adam corrects its
    means, arXiv 1412.6980), so that short runs are not pulled to the first, random weights. Buffers, such as
    the running means of batch norm, are always those of the network.
    """

    def __init__(self, decay: float, network: nn.Module) -> None:
        self._decay, self._steps = decay, 0
        self._own = [weight.detach() for weight in network.parameters()]
        self._names = [name for name, _ in network.named_parameters()]
        self._means = [weight.clone() for weight in self._own]

    def update(self) -> None:
        """Take the weights after one more step into the mean."""
        self._steps += 1
        share = (1 - self._decay) / (1 - self._decay**self._steps)
        torch._foreach_lerp_(self._means, self._own, share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the mean weights inside, and its own afterwards."""
        kept = [weight.clone() for weight in self._own]
        torch._foreach_copy_(self._own, self._means)
        try:
            yield
        finally:
            torch._foreach_copy_(self._own, kept)

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        return {"steps": self._steps, "means": dict(zip(self._names, self._means, strict=True))}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        means: Mapping[str, Tensor] = state["means"]
        self._steps = state["steps"]
        torch._foreach_copy_(self._means, [means[name] for name in self._names])
