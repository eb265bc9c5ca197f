"""Optimizers do what their papers say; groups of parameters have the decay and the scale that options say."""

import copy
import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hypersweep_trainer.muon import REST, Muon, hidden, orthogonal
from hypersweep_trainer.optim import carry, optimizer
from hypersweep_trainer.options import OPTIONS, Options
from hypersweep_trainer.options.training import OPTIMIZERS
from hypersweep_trainer.schedule import schedule

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


# What each rule does


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


Step = Callable[..., Any]
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


def test_muon_makes_steps_of_one_length_in_all_directions() -> None:
    network = Network()
    before = weights(network)
    learn(network, a_stepper(network, "muon", weight_decay=0.0), 0.1)
    after = weights(network)
    step = (before["body.weight"] - after["body.weight"]) / 0.1

    assert all(0.5 < float(size) < 1.5 for size in torch.linalg.svdvals(step))


@pytest.mark.parametrize("shape", [(16, 16), (8, 24), (24, 8)])
def test_the_steps_of_muon_are_torchs_but_for_the_rounding_of_bf16(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.zeros(shape))
    theirs.data.copy_(ours.data)
    before, group = ours.detach().clone(), {"lr": 0.1, "weight_decay": 0.2}
    stepper = Muon(Options(momentum=0.9, nesterov=True), [{"params": [ours], **group}], [])
    torchs = torch.optim.Muon([theirs], momentum=0.9, nesterov=True, **group)
    for _ in range(3):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        for each in (stepper, torchs):
            each.step()

    torch.testing.assert_close(theirs, ours, atol=1e-2, rtol=0)
    assert (ours - before).abs().max() > 0.05


def test_a_gradient_that_was_summed_in_another_order_hardly_moves_the_step_of_muon() -> None:
    torch.manual_seed(0)
    gradient = torch.randn(32, 16)
    noise = 1e-7 * torch.randn(32, 16)

    assert (orthogonal(gradient) - orthogonal(gradient + noise)).abs().max() < 1e-6


def test_muon_leaves_what_is_no_hidden_matrix_to_adamw() -> None:
    network = Network()
    before = weights(network)
    stepper = a_stepper(network, "muon", weight_decay=0.0)
    learn(network, stepper, 0.1)
    after = weights(network)

    assert {"body.weight"} == hidden(network, LEVELS)
    for name in set(after) - {"body.weight"}:
        step = (before[name] - after[name]).abs()

        assert 0.1 * REST == pytest.approx(float(step.mean()), rel=1e-3)


def test_muon_without_a_hidden_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="optimizer: muon needs matrices"):
        optimizer(chosen("muon"), nn.Linear(3, 2), {"weight": 0, "bias": 0})


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


# Groups


def described(stepper: torch.optim.Optimizer, network: nn.Module) -> dict[str, tuple[float, float]]:
    """Weight decay and scale of each parameter, by name."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {
        names[id(parameter)]: (group["weight_decay"], group["scale"])
        for group in stepper.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in ("rprop", "muon")])
def test_weight_decay_spares_biases_and_norms_unless_asked(name: str) -> None:
    network = Network()
    spared = described(a_stepper(network, name, weight_decay=0.5), network)
    pulled = described(a_stepper(network, name, weight_decay=0.5, decay_bias_norm=True), network)

    assert {key: (0.5 if value.ndim > 1 else 0.0, 1.0) for key, value in network.named_parameters()} == spared
    assert dict.fromkeys(LEVELS, (0.5, 1.0)) == pulled


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 2),
        ({"weight_decay": 0.0}, 1),
        ({"decay_bias_norm": True}, 1),
        ({"layer_lr_decay": 0.5, "weight_decay": 0.0}, 3),
        ({"head_lr_mult": 10.0}, 4),
    ],
)
def test_there_are_no_more_groups_than_needed(options: dict[str, Any], count: int) -> None:
    assert count == len(a_stepper(Network(), "adamw", **options).param_groups)


def test_rates_fall_layer_by_layer_and_the_head_has_its_own() -> None:
    network = Network()
    found = described(
        a_stepper(network, "adamw", weight_decay=0.0, layer_lr_decay=0.5, head_lr_mult=3.0), network
    )

    assert {name: (0.0, {0: 0.25, 1: 0.5, 2: 3.0}[level]) for name, level in LEVELS.items()} == found


class Layered(nn.Sequential):
    """Tells timm which layers it has: a stem, one block, and a head."""

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        return {"stem": r"^0", "blocks": r"^(1)"}


def test_layer_decay_agrees_with_timm() -> None:
    from timm.optim import param_groups_layer_decay

    network = Layered(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    levels = {name: int(name[0]) for name, _ in network.named_parameters()}
    expected = {
        id(parameter): group["lr_scale"]
        for group in param_groups_layer_decay(network, weight_decay=0.0, layer_decay=0.75)
        for parameter in group["params"]
    }
    stepper = optimizer(chosen("adamw", layer_lr_decay=0.75), network, levels)

    for group in stepper.param_groups:
        for parameter in group["params"]:
            assert expected[id(parameter)] == pytest.approx(group["scale"])
    assert {1.0, 0.75, 0.5625} == {group["scale"] for group in stepper.param_groups}


def test_what_is_frozen_has_no_place_in_the_optimizer() -> None:
    network = Network()
    network.embed.requires_grad_(False)
    stepper = a_stepper(network, "adamw")
    learn(network, stepper, 0.1)

    assert "embed.weight" not in described(stepper, network)
    assert network.embed.weight not in stepper.state


# States


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_that_was_saved_goes_on_to_the_last_bit(name: str) -> None:
    network = Network()
    stepper = a_stepper(network, name)
    learn(network, stepper, 0.01, 3)
    saved = io.BytesIO()
    torch.save(stepper.state_dict(), saved)
    saved.seek(0)
    resumed = copy.deepcopy(network)
    later = a_stepper(resumed, name)
    later.load_state_dict(torch.load(saved, weights_only=True))
    learn(network, stepper, 0.01, 2)
    learn(resumed, later, 0.01, 2)

    for expected, found in zip(network.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(expected, found)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_implementation_is_ours_whatever_the_checkpoint_says(name: str) -> None:
    stepper = a_stepper(Network(), name)
    learn(Network(), stepper, 0.01)
    before = [{flag: group.get(flag) for flag in ("fused", "foreach")} for group in stepper.param_groups]
    state = stepper.state_dict()
    for group in state["param_groups"]:
        group |= {flag: not group[flag] for flag in ("fused", "foreach") if flag in group}
    stepper.load_state_dict(state)

    assert before == [
        {flag: group.get(flag) for flag in ("fused", "foreach")} for group in stepper.param_groups
    ]
    assert any(group["fused"] or group["foreach"] for group in before) or name == "muon"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_thawed_network_keeps_what_was_learned_of_its_gradients(name: str) -> None:
    network = Network()
    network.embed.requires_grad_(False)
    frozen = a_stepper(network, name)
    learn(network, frozen, 0.01, 5)
    alone = copy.deepcopy(network)
    undisturbed = a_stepper(alone, name)
    undisturbed.load_state_dict(copy.deepcopy(frozen.state_dict()))
    network.embed.requires_grad_(True)
    thawed = a_stepper(network, name)
    carry(frozen, thawed)
    before = weights(network)
    learn(network, thawed, 0.01)
    learn(alone, undisturbed, 0.01)

    for key, after in weights(network).items():
        if key == "embed.weight":
            assert not torch.equal(before[key], after)
        else:
            torch.testing.assert_close(weights(alone)[key], after)


def test_an_optimizer_of_muon_takes_part_in_mixed_precision() -> None:
    network = Network()
    stepper = a_stepper(network, "muon")
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    before = weights(network)
    scaler.scale(network(torch.arange(6)).square().sum()).backward()
    scaler.step(stepper)
    scaler.update()

    assert not any(torch.equal(before[name], after) for name, after in weights(network).items())
    assert all(math.isfinite(float(after.sum())) for after in weights(network).values())
