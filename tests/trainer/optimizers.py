"""Builders of optimizers, and of a network with one parameter of each kind."""

from typing import Any

import torch
from torch import Tensor, nn

from hypersweep_trainer.optim import optimizer
from hypersweep_trainer.options import OPTIONS, Options

LEVELS = {"embed.weight": 0, "body.weight": 1, "body.bias": 1, "norm.weight": 1, "norm.bias": 1}
LEVELS |= {"head.weight": 2, "head.bias": 2}


class Network(nn.Module):
    """One parameter of each kind: an embedding, a hidden matrix and its bias, a norm, a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.default_generator.manual_seed(0)
        self.embed = nn.Embedding(6, 4)
        self.body, self.norm, self.head = nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.body(self.embed(x))))


def chosen(name: str, **options: Any) -> Options:
    """Options with the defaults that an optimizer has for itself."""
    usual = {
        option.name: value
        for option in OPTIONS.values()
        for needs, value in option.defaults
        if set(needs) == {"optimizer"} and name in needs["optimizer"]
    }
    return Options(**{**usual, "optimizer": name, **options})


def a_stepper(network: nn.Module, name: str, **options: Any) -> torch.optim.Optimizer:
    return optimizer(chosen(name, **options), network, LEVELS)


def learn(
    network: nn.Module, stepper: torch.optim.Optimizer, rate: float, steps: int = 1, scale: float = 1
) -> None:
    """Steps on gradients that depend on their number alone."""
    for step in range(steps):
        rng = torch.Generator().manual_seed(step)
        for parameter in network.parameters():
            drawn = scale * torch.randn(parameter.shape, generator=rng)
            parameter.grad = drawn if parameter.requires_grad else None
        for group in stepper.param_groups:
            group["lr"] = rate * group["scale"]
        stepper.step()


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
