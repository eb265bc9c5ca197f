"""Penalties on the weights, and noise: what is added to a gradient before it becomes a step."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hypersweep_trainer.options import Options

DECAY = 0.55 / 2  # of the deviation; arXiv 1511.06807 gives that of the variance


class Penalty:
    """l1 * sum |w| (Tibshirani 1996), l2 / 2 * sum w^2 (Hoerl and Kennard 1970), and gradient noise.

    The sums are over weights; biases and norms, which have one dimension, are spared, but not by the noise.
    Gradients are added in closed form, once for each step, whatever the number of ranks and parts.
    """

    def __init__(self, options: Options, network: nn.Module) -> None:
        self._l1, self._l2, self._noise = options.l1, options.l2, options.grad_noise
        self._parameters = [p for p in network.parameters() if p.requires_grad]

    @torch.no_grad()
    def apply(self, seed: int, step: int) -> None:
        """Add to the gradients of a step; equal seeds draw equal noise, on every rank."""
        learning = [p for p in self._parameters if p.grad is not None]
        weights: list[Tensor] = [p for p in learning if p.ndim > 1]
        gradients = _gradients(weights)
        if weights and self._l2:
            torch._foreach_add_(gradients, weights, alpha=self._l2)
        if weights and self._l1:
            torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=self._l1)
        if self._noise:
            _shake(_gradients(learning), self._noise * (1 + step) ** -DECAY, seed)


def _gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]


def _shake(gradients: list[Tensor], deviation: float, seed: int) -> None:
    generator = torch.Generator(gradients[0].device).manual_seed(seed)
    draws = [torch.empty_like(gradient).normal_(generator=generator) for gradient in gradients]
    torch._foreach_add_(gradients, draws, alpha=deviation)
