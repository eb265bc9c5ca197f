"""Kill -9 at random moments, on one, two and three ranks."""

from pathlib import Path
from random import Random

import pytest

from tests.trainer.kills import survive, undisturbed

SEED = 7  # of the moments


@pytest.mark.parametrize(("ranks", "epochs"), [(1, 150), (2, 60), (3, 50)])
def test_a_trial_that_is_killed_again_and_again_ends_as_if_it_never_was(
    tmp_path: Path, ranks: int, epochs: int
) -> None:
    whole = undisturbed(tmp_path / "whole", epochs, ranks)
    life = survive(tmp_path / "killed", whole, epochs, ranks, kills=3, random=Random(f"{SEED}/{ranks}"))

    assert 3 == life.kills
    assert 0 == life.repeated
    assert 0 == life.lost
    assert life.equal
