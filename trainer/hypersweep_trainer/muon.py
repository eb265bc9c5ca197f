"""Muon (Jordan 2024) for the matrices of hidden layers and AdamW for everything else, as one optimizer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from hypersweep_trainer.options import Options

REST = 0.05  # AdamW's rate as a share of Muon's: their usual rates are 1e-3 and 2e-2


def hidden(network: nn.Module, levels: Mapping[str, int]) -> set[str]:
    """The names of the matrices that stand neither in an embedding nor in the head."""
    tables = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    head = max(levels.values())
    return {
        name
        for name, parameter in network.named_parameters()
        if parameter.ndim == 2 and levels[name] < head and id(parameter) not in tables
    }


class Muon(Optimizer):
    """Two optimizers with one state; its groups are those of both."""

    def __init__(self, options: Options, matrices: list[dict[str, Any]], rest: list[dict[str, Any]]) -> None:
        for group in rest:
            group["scale"] *= REST
        self._parts: list[Optimizer] = [
            torch.optim.Muon(matrices, momentum=options.momentum, nesterov=options.nesterov)
        ]
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
