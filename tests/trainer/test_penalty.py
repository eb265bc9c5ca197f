"""Penalties are those of the loss that they stand for; noise comes from its seed alone."""

import copy
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hypersweep import contract
from hypersweep_trainer import data, model
from hypersweep_trainer.config import Config
from hypersweep_trainer.learner import Learner
from hypersweep_trainer.options import Options
from hypersweep_trainer.penalty import Penalty
from hypersweep_trainer.rank import Alone


def a_network() -> nn.Sequential:
    torch.default_generator.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3))


def a_loss(network: nn.Module) -> Tensor:
    x = torch.linspace(-1, 1, 50).view(10, 5)
    return network(x).square().mean()


def gradients(network: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def penalised(network: nn.Module, *, seed: int = 0, step: int = 0, **options: Any) -> list[Tensor]:
    """The gradients of a step."""
    network.zero_grad()
    a_loss(network).backward()
    Penalty(Options(**options), network).apply(seed, step)
    return gradients(network)


def test_the_gradient_is_that_of_loss_and_penalty() -> None:
    network = a_network()
    found = penalised(network, l1=0.02, l2=0.3)
    network.zero_grad()
    weights = [p for p in network.parameters() if p.ndim > 1]
    penalty = sum(0.02 * weight.abs().sum() + 0.15 * weight.square().sum() for weight in weights)
    (a_loss(network) + penalty).backward()

    torch.testing.assert_close(gradients(network), found)


def test_l1_adds_the_sign_of_each_weight_and_spares_biases_and_norms() -> None:
    network = a_network()
    plain, found = penalised(network), penalised(network, l1=0.5)
    for parameter, before, after in zip(network.parameters(), plain, found, strict=True):
        expected = before + 0.5 * parameter.detach().sign() * (parameter.ndim > 1)

        torch.testing.assert_close(expected, after)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_with_weight_decay_is_sgd_with_l2_in_the_loss(momentum: float) -> None:
    decayed, penalised_network = a_network(), a_network()
    weights = [p for p in decayed.parameters() if p.ndim > 1]
    rest = [p for p in decayed.parameters() if p.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": 0.1}, {"params": rest}]
    steppers = (
        torch.optim.SGD(groups, lr=0.1, momentum=momentum),
        torch.optim.SGD(penalised_network.parameters(), lr=0.1, momentum=momentum),
    )
    penalty = Penalty(Options(l2=0.1), penalised_network)
    for step in range(20):
        for network, stepper in zip((decayed, penalised_network), steppers, strict=True):
            stepper.zero_grad()
            a_loss(network).backward()
            if network is penalised_network:
                penalty.apply(0, step)
            stepper.step()

    for one, other in zip(decayed.parameters(), penalised_network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_adam_with_l2_in_the_loss_is_not_adamw() -> None:
    decayed, penalised_network = a_network(), a_network()
    steppers = (
        torch.optim.AdamW(decayed.parameters(), lr=0.01, weight_decay=0.1),
        torch.optim.Adam(penalised_network.parameters(), lr=0.01),
    )
    penalty = Penalty(Options(l2=0.1), penalised_network)
    for step in range(20):
        for network, stepper in zip((decayed, penalised_network), steppers, strict=True):
            stepper.zero_grad()
            a_loss(network).backward()
            if network is penalised_network:
                penalty.apply(0, step)
            stepper.step()

    difference = decayed[0].weight - penalised_network[0].weight
    assert 1e-3 < float(difference.detach().abs().max())


def test_l1_finds_the_useful_features() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(400, 10, generator=rng)
    truth = torch.tensor([2.0, -1.5, 1.0, *[0.0] * 7])
    y = x @ truth + 0.1 * torch.randn(400, generator=rng)
    network = nn.Linear(10, 1)
    stepper = torch.optim.SGD(network.parameters(), lr=0.05)
    penalty = Penalty(Options(l1=0.1), network)
    for step in range(500):
        stepper.zero_grad()
        (network(x).squeeze(1) - y).square().mean().backward()
        penalty.apply(0, step)
        stepper.step()
    found = network.weight.detach()[0]

    assert 1e-2 > float(found[3:].abs().max())
    torch.testing.assert_close(truth[:3], found[:3], atol=0.1, rtol=0)


def test_noise_has_its_deviation_and_falls_with_the_steps() -> None:
    network = nn.Sequential(nn.Linear(300, 300))
    plain = penalised_zero(network)
    for step in (0, 9, 99):
        noise = penalised_zero(network, grad_noise=0.2, step=step)[0] - plain[0]

        assert 0.2 * (1 + step) ** -0.275 == pytest.approx(float(noise.std()), rel=0.02)
        assert abs(float(noise.mean())) < 0.01 * (1 + step) ** -0.275


def penalised_zero(network: nn.Module, *, step: int = 0, **options: Any) -> list[Tensor]:
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    Penalty(Options(**options), network).apply(7, step)
    return gradients(network)


def test_noise_depends_on_its_seed_alone_and_reaches_every_parameter() -> None:
    network = a_network()
    first = penalised(network, seed=1, grad_noise=0.1)
    torch.randn(5)
    again = penalised(copy.deepcopy(network), seed=1, grad_noise=0.1)
    other = penalised(network, seed=2, grad_noise=0.1)
    plain = penalised(network)

    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not any(torch.equal(one, two) for one, two in zip(first, other, strict=True))
    assert not any(torch.equal(one, two) for one, two in zip(first, plain, strict=True))


def test_what_is_frozen_is_left_alone() -> None:
    network = a_network()
    network[0].requires_grad_(False)
    penalised(network, l1=0.1, l2=0.1, grad_noise=0.1)

    assert network[0].weight.grad is None
    assert network[0].bias.grad is None


def step_of_a_trial(**options: Any) -> tuple[float, float]:
    """The norm of the gradient of a trial's first step as it became a step, and as it was measured before."""
    config = Config.read({contract.ENV_TRAINER: json.dumps({"data": "iris", "epochs": 1, **options})})
    cpu = Alone(torch.device("cpu"))
    loaded = data.load(config, cpu.device)
    torch.default_generator.manual_seed(0)
    network = model.build(config.options, loaded.form)
    learner = Learner(config, loaded, cpu, network, 10, 10)
    learner.learn(torch.arange(32), slice(0, 32))
    found = [p.grad for p in network.parameters() if p.grad is not None]
    return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(found)))), learner.gradient_norm()


def test_the_gradient_is_clipped_as_a_whole_penalties_and_noise_included() -> None:
    whole, _ = step_of_a_trial(l2=0.1, grad_noise=0.01)
    clipped, measured = step_of_a_trial(l2=0.1, grad_noise=0.01, grad_clip=whole / 2)
    loose, _ = step_of_a_trial(l2=0.1, grad_noise=0.01, grad_clip=whole * 2)

    assert whole / 2 == pytest.approx(clipped, rel=1e-4)
    assert pytest.approx(whole) == measured == pytest.approx(loose)
    assert whole != pytest.approx(step_of_a_trial()[0], rel=1e-3)
