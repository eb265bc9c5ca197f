"""Muon makes steps of one length in all directions, and leaves what is no hidden matrix to AdamW."""

import math

import pytest
import torch
from torch import nn

from hypersweep_trainer.muon import REST, Muon, hidden, orthogonal
from hypersweep_trainer.optim import optimizer
from hypersweep_trainer.options import Options
from tests.trainer.optimizers import LEVELS, Network, a_stepper, chosen, learn, weights


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
