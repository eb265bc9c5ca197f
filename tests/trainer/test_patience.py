"""Early stopping ends a run so many epochs after its best one, and knows which one that was."""

import math
from typing import Any

import pytest

from hypersweep_trainer.options import Options
from hypersweep_trainer.patience import Patience


def watch(values: list[float], larger: bool = False, **options: Any) -> Patience:
    """A patience that has seen these values, as far as it let the run go on."""
    patience = Patience(Options(**options), larger)
    for value in values:
        if not patience.over:
            patience.observe(value)
    return patience


def test_it_stops_exactly_so_many_epochs_after_the_best() -> None:
    losses = [3.0, 2.0, 2.1, 2.2, 2.3, 1.0]

    assert not watch(losses[:4], patience=3).over
    assert watch(losses[:5], patience=3).over
    assert 2 == watch(losses, patience=3).best_epoch


def test_it_is_off_by_default_but_still_knows_the_best_epoch() -> None:
    patience = watch([1.0, 0.5, *[2.0] * 100])

    assert not patience.over
    assert 2 == patience.best_epoch


def test_of_some_metrics_the_larger_value_is_the_better_one() -> None:
    assert 3 == watch([0.1, 0.5, 0.9, 0.7], larger=True).best_epoch
    assert 1 == watch([0.1, 0.5, 0.9, 0.7], larger=False).best_epoch


def test_less_than_the_least_change_is_not_better() -> None:
    losses = [1.0, 0.95, 0.85, 0.8]

    assert [True, False, True, False] == verdicts(losses, patience=5, min_delta=0.1)
    assert [True, True, True, True] == verdicts(losses, patience=5)


def verdicts(values: list[float], **options: Any) -> list[bool]:
    patience = Patience(Options(**options), larger=False)
    return [patience.observe(value) for value in values]


def test_a_value_that_is_no_number_is_never_better() -> None:
    assert [True, False, True] == verdicts([1.0, math.nan, 0.5])


@pytest.mark.parametrize("cut", range(6))
def test_it_goes_on_from_its_state(cut: int) -> None:
    losses = [3.0, 2.0, 2.1, 1.9, 2.0, 2.0]
    options = {"patience": 2, "min_delta": 0.01}
    first, second = watch(losses[:cut], **options), Patience(Options(**options), larger=False)
    second.restore(first.state())
    for loss in losses[cut:]:
        second.observe(loss)

    assert watch(losses, **options).state() == second.state()
    assert {float, int} >= {type(value) for value in first.state().values()}
