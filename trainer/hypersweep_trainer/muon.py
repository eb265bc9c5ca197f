"""Muon (Jordan 2024) for the matrices of hidden layers and AdamW for everything else, as one optimizer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from hypersweep_trainer.options import Options

REST = 0.05  # AdamW's rate as a share of Muon's: their usual rates are 1e-3 and 2e-2
QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan 2024: small singular values grow fastest, all end near 1
TIMES = 5
TINY = 1e-7  # below any norm


def hidden(network: nn.Module, levels: Mapping[str, int]) -> set[str]:
    """The names of the matrices that stand neither in an embedding nor in the head."""
    tables = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    head = max(levels.values())
    return {
        name
        for name, parameter in network.named_parameters()
        if parameter.ndim == 2 and levels[name] < head and id(parameter) not in tables
    }


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix (rows, columns) with all singular values near 1, by Newton-Schulz's iteration.

    In the matrix's own precision: in bf16, as torch has it, another order of sums would show in the weights.
    """
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    found: Tensor = wide / wide.norm().clamp(min=TINY)
    a, b, c = QUINTIC
    for _ in range(TIMES):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found if wide is matrix else found.T


class Muon(Optimizer):
    """Steps of one length in all directions, for the first groups; AdamW for the others, with one state."""

    def __init__(self, options: Options, matrices: list[dict[str, Any]], rest: list[dict[str, Any]]) -> None:
        for group in matrices:
            group |= {"momentum": options.momentum, "nesterov": options.nesterov}
        for group in rest:
            group["scale"] *= REST
        self._matrices, betas = len(matrices), (options.beta1, options.beta2)
        self._rest = AdamW(rest, betas=betas, eps=options.eps, fused=True) if rest else None
        super().__init__([*matrices, *rest], {})
        self._share()

    def _share(self) -> None:
        """AdamW works on the state and the groups that are seen from outside."""
        if self._rest is not None:
            self._rest.state, self._rest.param_groups = self.state, self.param_groups[self._matrices :]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is ever given
        for group in self.param_groups[: self._matrices]:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)
        if self._rest is not None:
            self._rest.step()

    def _move(self, weight: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> None:
        """Along the running mean of the gradients; decay is decoupled."""
        rate, momentum, state = group["lr"], group["momentum"], self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        step = orthogonal(gradient.lerp(mean, momentum) if group["nesterov"] else mean)
        weight.mul_(1 - rate * group["weight_decay"])
        weight.add_(step, alpha=-rate * max(1.0, len(weight) / weight.shape[1]) ** 0.5)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()
