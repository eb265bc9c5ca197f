"""Learning rates are closed formulas that agree with torch's schedulers; weight decay spares biases."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from hypersweep_trainer.optim import optimizer, schedule
from hypersweep_trainer.options import Options


def test_warm_up_and_cosine_pass_through_their_published_points() -> None:
    rate = schedule(Options(lr=0.8, warmup=0.2, min_lr_ratio=0.25), 100)

    assert pytest.approx([0.8 / 20, 0.8, 0.8, 0.5, 0.2]) == [rate(step) for step in (0, 19, 20, 60, 100)]


def test_warm_up_and_cosine_agree_with_torch() -> None:
    stepper = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.8)
    warmup = LinearLR(stepper, start_factor=1 / 20, total_iters=19)
    cosine = CosineAnnealingLR(stepper, T_max=80, eta_min=0.2)
    reference = SequentialLR(stepper, [warmup, cosine], milestones=[20])
    expected = []
    for _ in range(100):
        expected.append(stepper.param_groups[0]["lr"])
        stepper.step()
        reference.step()

    rate = schedule(Options(lr=0.8, warmup=0.2, min_lr_ratio=0.25), 100)
    assert pytest.approx(expected, abs=1e-9) == [rate(step) for step in range(100)]


def test_a_constant_rate_stays_after_its_warm_up() -> None:
    rate = schedule(Options(lr=0.5, schedule="constant", warmup=0.1), 20)

    assert [0.25, 0.5, 0.5, 0.5] == [rate(step) for step in (0, 1, 2, 19)]


def test_a_rate_may_rise_to_the_very_end() -> None:
    rate = schedule(Options(lr=1.0, warmup=1.0), 4)

    assert [0.25, 0.5, 0.75, 1.0] == [rate(step) for step in range(4)]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_pulls_weights_and_spares_biases_and_norms(name: str) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    stepper = optimizer(Options(optimizer=name, lr=0.1, weight_decay=0.5), network)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    stepper.step()
    after = [parameter.detach() for parameter in network.parameters()]

    torch.testing.assert_close(before[0] * (1 - 0.1 * 0.5), after[0])
    for old, new in zip(before[1:], after[1:], strict=True):
        assert torch.equal(old, new)
