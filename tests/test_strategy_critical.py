"""Critical values against published tables."""

import pytest

from hypersweep.strategy.critical import critical_value

# C. W. Dunnett (1955), A multiple comparison procedure for comparing several treatments with a control,
# table 1a
DUNNETT = {
    5: (2.02, 2.44, 2.68, 2.85),
    10: (1.81, 2.15, 2.34, 2.47),
    20: (1.72, 2.03, 2.19, 2.30),
}
STUDENT = {(1, 0.10): 3.0777, (2, 0.10): 1.8856, (2, 0.025): 4.3027, (4, 0.025): 2.7764, (30, 0.05): 1.6973}


@pytest.mark.parametrize("freedom", DUNNETT)
def test_several_challengers_against_dunnetts_table(freedom: int) -> None:
    found = tuple(critical_value(challengers, freedom, alpha=0.05) for challengers in (1, 2, 3, 4))

    assert DUNNETT[freedom] == pytest.approx(found, abs=0.006)


@pytest.mark.parametrize(("freedom", "alpha"), STUDENT)
def test_one_challenger_is_students_t(freedom: int, alpha: float) -> None:
    assert STUDENT[freedom, alpha] == pytest.approx(critical_value(1, freedom, alpha), abs=1e-4)
