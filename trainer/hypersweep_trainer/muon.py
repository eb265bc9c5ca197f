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


class Matrices(Optimizer):
    """Steps of one length in all directions, of the running mean of the gradients; decay is decoupled."""

    def __init__(self, groups: list[dict[str, Any]], momentum: float, nesterov: bool) -> None:
        super().__init__(groups, {"momentum": momentum, "nesterov": nesterov})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)

    def _move(self, weight: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> None:
        rate, momentum = group["lr"], group["momentum"]
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        step = orthogonal(gradient.lerp(mean, momentum) if group["nesterov"] else mean)
        weight.mul_(1 - rate * group["weight_decay"])
        weight.add_(step, alpha=-rate * max(1.0, len(weight) / weight.shape[1]) ** 0.5)


class Muon(Optimizer):
    """Two optimizers with one state; its groups are those of both."""

    def __init__(self, options: Options, matrices: list[dict[str, Any]], rest: list[dict[str, Any]]) -> None:
        for group in rest:
            group["scale"] *= REST
        self._parts: list[Optimizer] = [Matrices(matrices, options.momentum, options.nesterov)]
        if rest:
            betas = (options.beta1, options.beta2)
            self._parts.append(AdamW(rest, betas=betas, eps=options.eps, fused=True))
        super().__init__([*matrices, *rest], {})
        self._share()

    def _share(self) -> None:
        """The parts work on the state and the groups that are seen from outside."""
        start = 0
        for part in self._parts:
            stop = start + len(part.param_groups)
            part.state, part.param_groups = self.state, self.param_groups[start:stop]
            start = stop

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for part in self._parts:
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()
