"""Steps of AdamW by its kernel alone: in a small network most of `AdamW.step` is looking up tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer


def stepper(optimizer: Optimizer) -> Callable[[], object]:
    """What takes the same steps as `optimizer.step`."""
    return Direct(optimizer) if type(optimizer) is AdamW else optimizer.step


@dataclass(frozen=True)
class Part:
    """A group of parameters and all that their step changes, in one order."""

    group: Mapping[str, Any]
    parameters: list[nn.Parameter]
    weights: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]

    @classmethod
    def of(cls, group: Mapping[str, Any], state: Mapping[Tensor, Mapping[str, Tensor]]) -> Self:
        parameters = group["params"]
        found = ([state[p][name] for p in parameters] for name in ("exp_avg", "exp_avg_sq", "step"))
        return cls(group, parameters, [p.detach() for p in parameters], *found)

    def step(self, gradients: list[Tensor]) -> None:
        group = self.group
        beta1, beta2 = group["betas"]
        torch._foreach_add_(self.steps, 1)
        torch._fused_adamw_(
            self.weights, gradients, self.means, self.squares, [], self.steps, lr=group["lr"], beta1=beta1,
            beta2=beta2, weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=False, maximize=False,
        )  # fmt: skip


class Direct:
    """Steps of a fused AdamW, equal to its own to the last bit; its state is where it always is.

    Steps that make new state, or follow a change of it, are AdamW's own; so are those without some gradient.
    """

    def __init__(self, optimizer: AdamW) -> None:
        self._optimizer = optimizer
        self._parts: list[Part] = []
        self._state: object = None  # what the parts are of: a checkpoint that is loaded replaces it

    def __call__(self) -> None:
        pairs = [(part, [p.grad for p in part.parameters if p.grad is not None]) for part in self._parts]
        known = self._state is self._optimizer.state
        if not known or any(len(part.parameters) > len(gradients) for part, gradients in pairs):
            self._optimizer.step()
            self._gather()
            return
        for part, gradients in pairs:
            part.step(gradients)

    def _gather(self) -> None:
        state, groups = self._optimizer.state, self._optimizer.param_groups
        if all(p in state for group in groups for p in group["params"]):
            self._parts, self._state = [Part.of(group, state) for group in groups], state
