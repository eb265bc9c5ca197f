"""Sweeps of twenty options at once, drawn from the table: none of their trials fails."""

from pathlib import Path
from random import Random

import pytest

from hypersweep_trainer.options import OPTIONS, check
from tests.trainer.random_options import DATA, SWEPT, a_sweep, broken

SEED = 38


@pytest.mark.parametrize("task", DATA)
def test_no_trial_of_a_random_sweep_fails_and_each_goes_on_exactly(task: str, tmp_path: Path) -> None:
    assert [] == list(broken(task, SEED, tmp_path))


@pytest.mark.parametrize("task", DATA)
def test_a_random_sweep_is_sound_and_holds_an_option_of_each_group(task: str) -> None:
    sweep = a_sweep(task, Random(f"{SEED}/{task}"))
    groups = {option.group for option in OPTIONS.values()}

    assert [] == check(sweep.fixed, sweep.swept)
    assert len(sweep.swept) == SWEPT
    assert sweep.groups == groups
