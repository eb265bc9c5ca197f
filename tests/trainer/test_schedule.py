"""Learning rates are closed formulas that agree with torch's schedulers."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from hypersweep_trainer.options import Options
from hypersweep_trainer.schedule import Plateau, peak, robbins_monro, schedule

EPOCH = 4  # steps


def rates(steps: int, **options: Any) -> list[float]:
    """The learning rates of a run whose epochs have 4 steps."""
    rate = schedule(Options(**options), 0.8, steps, EPOCH)
    return [rate(step) for step in range(steps)]


def of_torch(steps: int, build: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]) -> list[float]:
    stepper = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.8)
    scheduler = build(stepper)
    found = []
    for _ in range(steps):
        found.append(stepper.param_groups[0]["lr"])
        stepper.step()
        scheduler.step()
    return found


def test_warm_up_and_cosine_pass_through_their_published_points() -> None:
    rate = schedule(Options(warmup=0.2, min_lr_ratio=0.25), 0.8, 100, EPOCH)

    assert pytest.approx([0.8 / 20, 0.8, 0.8, 0.5, 0.2]) == [rate(step) for step in (0, 19, 20, 60, 100)]


def test_warm_up_and_cosine_agree_with_torch() -> None:
    def reference(stepper: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        warmup = lr_scheduler.LinearLR(stepper, start_factor=1 / 20, total_iters=19)
        cosine = lr_scheduler.CosineAnnealingLR(stepper, T_max=80, eta_min=0.2)
        return lr_scheduler.SequentialLR(stepper, [warmup, cosine], milestones=[20])

    assert pytest.approx(of_torch(100, reference), abs=1e-9) == rates(100, warmup=0.2, min_lr_ratio=0.25)


def test_a_line_agrees_with_torch_and_ends_at_its_lowest_rate() -> None:
    expected = of_torch(
        100, lambda stepper: lr_scheduler.LinearLR(stepper, start_factor=1, end_factor=0.25, total_iters=100)
    )
    rate = schedule(Options(schedule="linear", warmup=0.0, min_lr_ratio=0.25), 0.8, 100, EPOCH)

    assert pytest.approx(expected, abs=1e-9) == [rate(step) for step in range(100)]
    assert rate(100) == pytest.approx(0.2)


def test_a_constant_rate_stays_after_its_warm_up() -> None:
    assert [0.4, *[0.8] * 19] == rates(20, schedule="constant", warmup=0.1)


def test_a_rate_may_rise_to_the_very_end() -> None:
    rate = schedule(Options(warmup=1.0), 1.0, 4, EPOCH)

    assert [0.25, 0.5, 0.75, 1.0, 1.0] == [rate(step) for step in range(5)]


def test_steps_drop_every_so_many_epochs() -> None:
    found = rates(30 * EPOCH, schedule="step", warmup=0.0)
    expected = of_torch(30 * EPOCH, lambda stepper: lr_scheduler.StepLR(stepper, 10 * EPOCH, 0.1))

    assert pytest.approx([0.8, 0.08, 0.008]) == [found[epoch * EPOCH] for epoch in (9, 10, 20)]
    assert pytest.approx(expected, abs=1e-12) == found


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_inverse_decay_has_its_formula_in_epochs(power: float) -> None:
    given = {"schedule": "inverse", "warmup": 0.0, "lr_decay": 0.01, "inverse_power": power}
    expected = of_torch(
        101 * EPOCH,
        lambda stepper: lr_scheduler.LambdaLR(stepper, lambda step: (1 + 0.01 * step / EPOCH) ** -power),
    )
    found = rates(101 * EPOCH, **given)

    assert pytest.approx(0.8 / 2**power) == found[100 * EPOCH]
    assert pytest.approx(expected, abs=1e-12) == found


def test_the_exponential_decay_has_its_formula_in_epochs() -> None:
    gamma = math.exp(-0.01 / EPOCH)
    expected = of_torch(101 * EPOCH, lambda stepper: lr_scheduler.ExponentialLR(stepper, gamma))
    found = rates(101 * EPOCH, schedule="exponential", warmup=0.0, lr_decay=0.01)

    assert pytest.approx(0.8 / math.e) == found[100 * EPOCH]
    assert pytest.approx(expected, abs=1e-12) == found


@pytest.mark.parametrize("name", ["inverse", "exponential"])
def test_a_decay_begins_at_the_peak_where_the_warm_up_ends(name: str) -> None:
    found = rates(40, schedule=name, warmup=0.25, lr_decay=0.5)

    assert pytest.approx([0.08, 0.8, 0.8]) == [found[0], found[9], found[10]]
    assert max(found) == found[10] > found[11]


@pytest.mark.parametrize(
    "name", ["constant", "cosine", "linear", "step", "inverse", "exponential", "plateau"]
)
def test_every_rate_is_positive_and_below_the_peak(name: str) -> None:
    assert all(0 < rate <= 0.8 for rate in rates(80, schedule=name))


def test_rprop_takes_its_first_step_from_the_peak() -> None:
    assert [0.8] * 8 == rates(8, optimizer="rprop")


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1), ("sqrt", 2), ("linear", 4)])
def test_the_peak_grows_with_the_batch(scaling: str, factor: float) -> None:
    options = Options(lr=0.1, lr_scaling=scaling, base_batch=64)

    assert pytest.approx(0.1 * factor) == peak(options, 256)
    assert pytest.approx(0.1) == peak(options, 64)


LOSSES = [3.0, 2.0, 2.5, 2.0, 2.2, 2.1, 2.0, 1.9, 2.0, 2.0, 2.0, 2.0, 2.0, math.nan, 2.0, 1.8, 2.0, 2.0]


def test_the_plateau_agrees_with_torch() -> None:
    stepper = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = lr_scheduler.ReduceLROnPlateau(stepper, factor=0.5, patience=2, threshold=0.0)
    plateau = Plateau(Options(schedule="plateau", step_factor=0.5, plateau_patience=2))
    expected, found = [], []
    for loss in LOSSES:
        reference.step(loss)
        plateau.observe(loss)
        expected.append(stepper.param_groups[0]["lr"])
        found.append(plateau.factor)

    assert expected == found
    assert 0.5**3 == found[-1]


def test_the_plateau_falls_after_patience_and_one_more_flat_epoch() -> None:
    plateau = Plateau(Options(schedule="plateau", step_factor=0.1, plateau_patience=3))
    found = []
    for _ in range(6):
        plateau.observe(1.0)
        found.append(plateau.factor)

    assert [1, 1, 1, 1, 0.1, 0.1] == found


@pytest.mark.parametrize("cut", [0, 4, 5, 11])
def test_the_plateau_goes_on_from_its_state(cut: int) -> None:
    options = Options(schedule="plateau", step_factor=0.5, plateau_patience=1)
    whole, first, second = Plateau(options), Plateau(options), Plateau(options)
    for loss in LOSSES:
        whole.observe(loss)
    for loss in LOSSES[:cut]:
        first.observe(loss)
    second.restore(first.state())
    for loss in LOSSES[cut:]:
        second.observe(loss)

    assert whole.state() == second.state()
    assert {float, int} >= {type(value) for value in first.state().values()}


def test_other_schedules_have_no_plateau() -> None:
    plateau = Plateau(Options(schedule="cosine", step_factor=0.5, plateau_patience=0))
    for _ in range(5):
        plateau.observe(1.0)

    assert 1.0 == plateau.factor


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"schedule": "inverse", "inverse_power": 1.0}, (True, True)),
        ({"schedule": "inverse", "inverse_power": 0.51}, (True, True)),
        ({"schedule": "inverse", "inverse_power": 0.5}, (True, False)),
        ({"schedule": "inverse", "inverse_power": 1.01}, (False, True)),
        ({"schedule": "inverse", "lr_decay": 0.0}, (True, False)),
        ({"schedule": "constant"}, (True, False)),
        ({"schedule": "exponential"}, (False, True)),
        ({"schedule": "exponential", "lr_decay": 0.0}, (True, False)),
        ({"schedule": "step"}, (False, True)),
        ({"schedule": "plateau"}, (False, True)),
        ({"schedule": "step", "step_factor": 1.0}, (True, False)),
        ({"schedule": "cosine"}, (False, True)),
        ({"schedule": "cosine", "min_lr_ratio": 0.1}, (True, False)),
        ({"schedule": "linear"}, (False, True)),
    ],
)
def test_the_conditions_of_robbins_and_monro(options: dict[str, Any], expected: tuple[bool, bool]) -> None:
    diverges, converges, words = robbins_monro(Options(**options))

    assert expected == (diverges, converges)
    assert words.startswith("rates ")


@pytest.mark.parametrize(
    ("name", "sums"), [("inverse", (92.2, 1.005)), ("exponential", (10.05, 0.505)), ("constant", (1e5, 1e4))]
)
def test_partial_sums_show_these_conditions(name: str, sums: tuple[float, float]) -> None:
    speed = {"inverse": 0.01, "exponential": 0.01}.get(name, 0.0)
    rate = schedule(Options(schedule=name, warmup=0.0, lr_decay=speed), 0.1, 10**6, 1)
    found = torch.tensor([rate(step) for step in range(10**6)], dtype=torch.float64)

    assert pytest.approx(sums, rel=2e-3) == (float(found.sum()), float(found.square().sum()))
