"""AdamW (arXiv 1711.05101) by torch's fused kernel and little else."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class AdamW(Optimizer):
    """`torch.optim.AdamW` with `fused`, to the last bit, in its methods that training uses.

    Every method of torch's own first imports a compiler, which takes a second of each start, and a step of a
    small network then spends a third of its time on looking up and sorting tensors.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], betas: tuple[float, float], eps: float) -> None:
        self.defaults = {}
        self.param_groups = [{**group, "betas": betas, "eps": eps, "fused": True} for group in groups]
        self.state = defaultdict(dict)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for parameter in self._parameters():
            parameter.grad = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is ever given
        """Move all parameters that have a gradient."""
        for group in self.param_groups:
            pairs = [(p, p.grad) for p in group["params"] if p.grad is not None]
            if not pairs:
                continue
            states = [self.state[p] or self._begun(p) for p, _ in pairs]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                [p for p, _ in pairs],
                [gradient for _, gradient in pairs],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    def _begun(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        names = ("exp_avg", "exp_avg_sq")
        state = {"step": torch.zeros((), device=parameter.device)}
        state |= {name: torch.zeros_like(parameter, memory_format=torch.preserve_format) for name in names}
        self.state[parameter] = state
        return state

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def state_dict(self) -> dict[str, Any]:
        """In the form of torch's own: parameters by their numbers."""
        numbers: dict[Tensor, int] = {p: number for number, p in enumerate(self._parameters())}
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": {numbers[p]: dict(state) for p, state in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what is known of the gradients; the groups' rates and factors stay."""
        parameters, saved = self._parameters(), state_dict["state"]
        self.state = defaultdict(dict, {parameters[number]: dict(state) for number, state in saved.items()})
