"""Optimizers step as their papers say, and take what options say."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hypersweep_trainer.optim import optimizer
from hypersweep_trainer.options.training import OPTIMIZERS
from hypersweep_trainer.schedule import schedule
from tests.trainer.optimizers import Network, a_stepper, chosen, learn, weights


class Point(nn.Module):
    """A hidden matrix and a head, each 2 x 2, for functions of two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Parameter(torch.tensor([[1.0, 0.5], [-0.7, 0.9]]))
        self.head = nn.Parameter(torch.tensor([[0.4, -0.3], [0.2, 0.1]]))


POINT = {"body": 0, "head": 1}
RATES = {"adadelta": 10.0, "adagrad": 0.5, "sgd": 0.1, "lamb": 0.05, "lion": 0.03, "muon": 0.1, "rprop": 0.01}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_finds_the_bottom_of_a_quadratic(name: str) -> None:
    point = Point()
    options = chosen(name, lr=RATES.get(name, 0.05), weight_decay=0.0, schedule="linear", warmup=0.0)
    rate = schedule(options, float(options.lr), 400, 1)
    stepper = optimizer(options, point, POINT)
    for step in range(400):
        stepper.zero_grad()
        loss = sum((torch.tensor([1.0, 4.0]) * parameter.square()).sum() for parameter in point.parameters())
        loss.backward()
        for group in stepper.param_groups:
            group["lr"] = rate(step) * group["scale"]
        stepper.step()

    assert 1e-3 > float(loss.detach())


W, G = np.array([0.5, -1.5, 2.0]), np.array([0.1, -2.0, 0.03])
B1, B2, LR, WD = 0.9, 0.999, 0.01, 0.1


def adam(g: Any, eps: float = 1e-8) -> Any:
    """Adam's first step: its means are corrected to the gradient itself."""
    return g / (np.abs(g) + eps)


COUPLED = G + WD * W
FORMULAS: Mapping[str, Any] = {
    "sgd": W - LR * COUPLED,
    "rmsprop": W - LR * COUPLED / (np.sqrt(0.01 * COUPLED**2) + 1e-8),
    "rprop": W - LR * np.sign(G),
    "adagrad": W - LR * COUPLED / (np.abs(COUPLED) + 1e-10),
    "adadelta": W - LR * COUPLED * np.sqrt(1e-6) / np.sqrt(0.1 * COUPLED**2 + 1e-6),
    "adam": W - LR * adam(COUPLED),
    "amsgrad": W - LR * adam(COUPLED),
    "adamax": W - LR * COUPLED / (np.abs(COUPLED) + 1e-8),
    "adamw": W * (1 - LR * WD) - LR * adam(G),
    "radam": W - LR * COUPLED,  # too early for a variance: the corrected mean alone
    "nadam": None,
    "lamb": None,
    "lion": W * (1 - LR * WD) - LR * np.sign(G),
    "muon": None,
}


def nadam() -> Any:
    """Dozat 2016, with the momentum's own schedule, mu_t = b1 (1 - 0.96^(t / 250) / 2)."""
    now, later = (B1 * (1 - 0.5 * 0.96 ** (t * 0.004)) for t in (1, 2))
    step = COUPLED + later * (1 - B1) * COUPLED / (1 - now * later)
    return W - LR * step / (np.abs(COUPLED) + 1e-8)


def lamb() -> Any:
    """arXiv 1904.00962: the decayed Adam step, as long as the weights."""
    update = adam(G, 1e-6) + WD * W
    return W - LR * np.linalg.norm(W) / np.linalg.norm(update) * update


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "muon"])
def test_the_first_step_has_its_published_formula(name: str) -> None:
    network = nn.Linear(3, 1, bias=False)
    network.weight.data = torch.tensor(W[None], dtype=torch.float32)
    expected = {"nadam": nadam, "lamb": lamb}.get(name, lambda: FORMULAS[name])()
    stepper = optimizer(chosen(name, lr=LR, weight_decay=WD, momentum=0.0), network, {"weight": 0})
    network.weight.grad = torch.tensor(G[None], dtype=torch.float32)
    stepper.step()

    assert pytest.approx(expected, rel=2e-5, abs=1e-6) == network.weight.detach().numpy()[0]


def test_sgd_moves_by_the_rate_times_the_gradient_exactly() -> None:
    network = nn.Linear(3, 2)
    before = weights(network)
    stepper = optimizer(chosen("sgd", weight_decay=0.0), network, {"weight": 0, "bias": 0})
    for group in stepper.param_groups:
        group["lr"] = 0.25
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    stepper.step()

    for name, parameter in network.named_parameters():
        assert torch.equal(before[name] - 0.125, parameter)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_and_nesterov_have_their_formulas(nesterov: bool) -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1.0)
    options = chosen("sgd", lr=0.1, weight_decay=0.0, momentum=0.5, nesterov=nesterov)
    stepper = optimizer(options, network, {"weight": 0})
    weight, carried = 1.0, 0.0
    for gradient in (1.0, -2.0, 0.5):
        carried = 0.5 * carried + gradient
        weight -= 0.1 * (gradient + 0.5 * carried if nesterov else carried)
        network.weight.grad = torch.full((1, 1), gradient)
        stepper.step()

    assert weight == pytest.approx(float(network.weight.detach()))


@pytest.mark.parametrize(("name", "ratio"), [("adam", 1.0), ("adamw", 1.0), ("sgd", 1e8)])
def test_some_rules_step_alike_for_gradients_of_all_sizes(name: str, ratio: float) -> None:
    network = nn.Linear(2, 1, bias=False)
    network.weight.data.zero_()
    stepper = optimizer(chosen(name, lr=0.01, weight_decay=0.0, momentum=0.0), network, {"weight": 0})
    network.weight.grad = torch.tensor([[1e-4, 1e4]])
    stepper.step()
    small, large = (-network.weight.detach()[0]).tolist()

    assert ratio == pytest.approx(large / small, rel=1e-3)
    if ratio == 1:
        assert 0.01 == pytest.approx(small, rel=1e-3)


def test_the_step_of_lamb_is_as_long_as_the_weights_and_blind_to_the_gradients_size() -> None:
    found = []
    for factor in (1.0, 1000.0):
        network = Network()
        before = weights(network)
        learn(network, a_stepper(network, "lamb", weight_decay=0.02), 0.01, scale=factor)
        found.append({name: after - before[name] for name, after in weights(network).items()})

    for name, weight in weights(Network()).items():
        assert (
            0.01 * float(weight.norm()) == pytest.approx(float(found[0][name].norm()), rel=1e-4)
            or not weight.any()
        )
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-4, atol=1e-6)


def test_lamb_agrees_with_its_formula_for_many_steps() -> None:
    network = nn.Linear(4, 3, bias=False)
    weight = network.weight.detach().double().numpy().copy()
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    stepper = optimizer(chosen("lamb", weight_decay=0.1), network, {"weight": 0})
    learn(network, stepper, 0.02, 20)
    for step in range(20):
        g = torch.randn(3, 4, generator=torch.Generator().manual_seed(step)).double().numpy()
        mean, square = B1 * mean + (1 - B1) * g, B2 * square + (1 - B2) * g**2
        corrected = mean / (1 - B1 ** (step + 1))
        update = corrected / (np.sqrt(square / (1 - B2 ** (step + 1))) + 1e-6) + 0.1 * weight
        weight -= 0.02 * np.linalg.norm(weight) / np.linalg.norm(update) * update

    assert pytest.approx(weight, abs=1e-5) == network.weight.detach().numpy()


def test_adamw_shrinks_weights_without_gradients_exactly() -> None:
    network = Network()
    before = weights(network)
    stepper = a_stepper(network, "adamw", lr=0.1, weight_decay=0.5)
    learn(network, stepper, 0.1, scale=0.0)

    for name, after in weights(network).items():
        if after.ndim == 1:
            assert torch.equal(before[name], after)
        else:
            torch.testing.assert_close(before[name] * (1 - 0.1 * 0.5), after, rtol=1e-7, atol=0)


def test_amsgrad_remembers_the_largest_gradient() -> None:
    found = {}
    for name in ("adam", "amsgrad"):
        network = nn.Linear(1, 1, bias=False)
        network.weight.data.zero_()
        stepper = optimizer(chosen(name, lr=0.01, weight_decay=0.0, beta2=0.5), network, {"weight": 0})
        for gradient in (10.0, *[0.1] * 20):
            network.weight.grad = torch.full((1, 1), gradient)
            stepper.step()
        found[name] = -float(network.weight.detach())

    assert 2 * found["amsgrad"] < found["adam"]


MEANS = {"betas": (0.5, 0.6), "eps": 0.01}
PASSED: Mapping[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.3, "nesterov": True},
    "rmsprop": {"momentum": 0.3, "alpha": 0.7, "eps": 0.01},
    "adagrad": {"eps": 0.01},
    "adadelta": {"rho": 0.7, "eps": 0.01},
    **dict.fromkeys(("adam", "amsgrad", "adamax", "nadam", "radam", "adamw", "lamb"), MEANS),
    "lion": {"betas": (0.5, 0.6)},
    "muon": {"momentum": 0.3, "nesterov": True},
}


@pytest.mark.parametrize("name", PASSED)
def test_what_options_say_reaches_the_rule(name: str) -> None:
    given = {
        "momentum": 0.3,
        "nesterov": True,
        "rho": 0.7,
        "beta1": 0.5,
        "beta2": 0.6,
        "eps": 0.01,
        "lr": 0.2,
    }
    group = a_stepper(Network(), name, **given).param_groups[0]

    assert {"lr": 0.2, **PASSED[name]} == {key: group[key] for key in ("lr", *PASSED[name])}
