"""AdamW of our own is torch's, to the last bit, and starts without torch's compiler."""

import subprocess
import sys

import torch
from torch import nn

from hypersweep_trainer.adamw import AdamW

STEPS = """
import sys
from hypersweep_trainer.adamw import AdamW
import torch

weight = torch.nn.Parameter(torch.ones(2))
stepper = AdamW([{"params": [weight], "weight_decay": 0.0, "lr": 0.1}], (0.9, 0.999), 1e-8)
weight.square().sum().backward()
stepper.step()
stepper.zero_grad()
stepper.load_state_dict(stepper.state_dict())
print(weight.grad, [name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules])
"""


def a_network() -> nn.Module:
    torch.default_generator.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.LayerNorm(7), nn.Linear(7, 3))


def in_groups(network: nn.Module) -> list[dict[str, object]]:
    return [
        {"params": [p for p in network.parameters() if p.ndim == 2], "weight_decay": 0.1, "lr": 0.01},
        {"params": [p for p in network.parameters() if p.ndim == 1], "weight_decay": 0.0, "lr": 0.01},
    ]


def learn(network: nn.Module, stepper: torch.optim.Optimizer, steps: range) -> None:
    """The first layer has no gradient in every third step."""
    for step in steps:
        stepper.zero_grad()
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(step))
        network(x).square().sum().backward()
        for group in stepper.param_groups:
            group["lr"] = 0.01 / (1 + step)
        if step % 3 == 0:
            for parameter in network.get_submodule("0").parameters():
                parameter.grad = None
        stepper.step()


def test_every_step_is_that_of_torch_to_the_last_bit() -> None:
    ours, theirs = a_network(), a_network()
    learn(ours, AdamW(in_groups(ours), (0.8, 0.95), 1e-6), range(50))
    learn(theirs, torch.optim.AdamW(in_groups(theirs), betas=(0.8, 0.95), eps=1e-6, fused=True), range(50))

    for expected, found in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_it_goes_on_from_the_state_of_torchs_own_and_the_other_way_round() -> None:
    ours, theirs = a_network(), a_network()
    first = torch.optim.AdamW(in_groups(ours), fused=True)
    learn(ours, first, range(5))
    second = AdamW(in_groups(ours), (0.9, 0.999), 1e-8)
    second.load_state_dict(first.state_dict())
    learn(ours, second, range(5, 10))
    third = torch.optim.AdamW(in_groups(ours), fused=True)
    third.load_state_dict(second.state_dict())
    learn(ours, third, range(10, 15))
    learn(theirs, torch.optim.AdamW(in_groups(theirs), fused=True), range(15))

    for expected, found in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_it_needs_no_compiler() -> None:
    ended = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)

    assert "None []\n" == ended.stdout
