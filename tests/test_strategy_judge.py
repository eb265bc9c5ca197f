"""Paired comparisons with the incumbent: numbers against closed forms, and what becomes of missing runs."""

import math
from datetime import UTC, datetime
from statistics import stdev

import pytest

from hypersweep.strategy.critical import critical_value
from hypersweep.strategy.judge import Contender, Verdict, judge, pooled
from hypersweep.strategy.sentence import adopted, told
from hypersweep.trial import Attempt, Objective, Status, Suggestion, Trial

SCORE = Objective("score", maximize=True)
LOSS = Objective("score", maximize=False)
Run = float | Status  # what a run measured, or how else it ended


def a_contender(arm: int, *runs: Run) -> Contender:
    return Contender(arm, {"x": arm}, {replicate: a_trial(run) for replicate, run in enumerate(runs)})


def a_trial(run: Run) -> Trial:
    attempt = Attempt(0, datetime(2026, 1, 1, tzinfo=UTC))
    if isinstance(run, Status):
        return Trial(0, Suggestion({}, 0), (attempt,), run)
    return Trial(0, Suggestion({}, 0), (attempt,), Status.DONE, {"score": run})


def judged(
    *contenders: Contender,
    objective: Objective = SCORE,
    absolute: float | None = None,
    sigma: float | None = None,
) -> Verdict:
    return judge(contenders, objective, len(contenders[0].trials), absolute, sigma)


def test_a_gain_beyond_the_noise_is_adopted() -> None:
    incumbent, better = a_contender(0, 1.0, 2.0, 3.0), a_contender(1, 2.0, 3.1, 4.1)

    verdict = judged(incumbent, better)

    assert better == verdict.winner


def test_a_gain_within_the_noise_is_not() -> None:
    incumbent, better = a_contender(0, 1.0, 2.0, 3.0), a_contender(1, 2.0, 1.9, 3.2)

    verdict = judged(incumbent, better)

    assert incumbent == verdict.winner
    assert better == verdict.best


def test_smaller_is_better_when_the_goal_is_to_minimize() -> None:
    incumbent, better = a_contender(0, 3.0, 3.1, 3.2), a_contender(1, 1.0, 1.2, 1.2)

    verdict = judged(incumbent, better, objective=LOSS)

    assert better == verdict.winner
    assert verdict.gains[1].mean == pytest.approx(1.9667, abs=1e-4)


def test_one_challenger_is_the_paired_t_test() -> None:
    ours, theirs = (2.0, 3.5, 4.1), (1.0, 2.0, 3.3)
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]

    verdict = judged(a_contender(0, *theirs), a_contender(1, *ours))

    error = stdev(differences) / math.sqrt(3)
    assert error == pytest.approx(verdict.standard_error(1))
    assert critical_value(1, 2) * error == pytest.approx(verdict.threshold)


def test_the_noise_is_the_residual_of_a_two_way_layout() -> None:
    rows = [{0: 1.0, 1: 3.0, 2: 2.0}, {0: 2.0, 1: 3.0, 2: 4.0}]

    noise = pooled(rows)

    # levels 2 and 3, offsets -1, 0.5 and 0.5: residuals 0, 0.5, -0.5 and 0, -0.5, 0.5
    assert noise is not None
    assert (2, pytest.approx(math.sqrt(1 / 2))) == (noise.freedom, noise.deviation)


def test_equal_gains_on_all_seeds_read_as_a_spread_of_0() -> None:
    verdict = judged(a_contender(0, 0.7, 0.8, 0.91), a_contender(1, 0.8, 0.9, 1.01))
    error = verdict.standard_error(1)
    assert error is not None

    assert 0 < error < 1e-15
    assert "adopted x=1: score +0.1 ± 0 over x=0, above the noise (threshold 0)" == adopted(
        verdict, SCORE, {"x": 0}, ["x"]
    )


def test_a_small_spread_of_a_small_metric_is_told() -> None:
    assert [1e-13, 0.0, 0.0] == [told(1e-13, 1e-9), told(1e-13, 1.0), told(0.0, 0.0)]


def test_an_offset_of_a_seed_is_no_noise() -> None:
    noise = pooled([{0: 0.0, 1: 100.0}, {0: 1.0, 1: 101.0}])

    assert noise is not None
    assert noise.deviation == pytest.approx(0)


def test_a_missing_run_costs_a_degree_of_freedom_and_leaves_no_trace_of_its_seed() -> None:
    noise = pooled([{0: 0.0, 1: 100.0, 2: 7.0}, {0: 1.0, 1: 101.0, 2: 8.0}, {0: 5.0, 2: 12.0}])

    assert noise is not None
    assert (3, pytest.approx(0, abs=1e-6)) == (noise.freedom, noise.deviation)


def test_an_infeasible_run_disqualifies() -> None:
    incumbent, better = a_contender(0, 1.0, 1.1, 1.2), a_contender(1, 9.0, 9.1, Status.INFEASIBLE)

    verdict = judged(incumbent, better)

    assert incumbent == verdict.winner
    assert verdict.best is None


def test_failed_runs_compare_on_what_is_common() -> None:
    incumbent = a_contender(0, 1.0, 2.0, Status.FAILED)
    better, alone = a_contender(1, 5.0, 6.1, 9.0), a_contender(2, 9.0, Status.FAILED, 9.0)

    verdict = judged(incumbent, better, alone)

    assert {1: 2} == {arm: gain.n for arm, gain in verdict.gains.items()}
    assert better == verdict.winner


@pytest.mark.parametrize("runs", [(Status.INFEASIBLE, 9.0, 9.0), (9.0, Status.FAILED, Status.FAILED)])
def test_an_unusable_incumbent_gives_way_to_the_best_feasible_arm(runs: tuple[Run, ...]) -> None:
    good, better = a_contender(1, 1.0, 1.0, 1.0), a_contender(2, 2.0, 2.0, 2.0)

    verdict = judged(a_contender(0, *runs), good, better)

    assert (better, True) == (verdict.winner, verdict.unusable)


def test_without_a_feasible_arm_there_is_no_winner() -> None:
    bad = (Status.INFEASIBLE, Status.INFEASIBLE)

    assert judged(a_contender(0, *bad), a_contender(1, *bad)).winner is None


def test_a_gain_below_the_least_that_is_wanted_changes_nothing() -> None:
    incumbent, better = a_contender(0, 1.0, 2.0, 3.0), a_contender(1, 2.0, 3.1, 4.1)

    assert incumbent == judged(incumbent, better, absolute=1.5).winner
    assert incumbent == judged(incumbent, better, sigma=100).winner
    assert better == judged(incumbent, better, absolute=0.5).winner


def test_with_one_run_each_only_the_least_gain_decides() -> None:
    incumbent, better = a_contender(0, 1.0), a_contender(1, 1.2)

    assert better == judged(incumbent, better, absolute=0.1).winner
    assert incumbent == judged(incumbent, better, absolute=0.3).winner
    assert incumbent == judged(incumbent, better, sigma=1.0).winner
    assert judged(incumbent, better, absolute=0.1).noise is None
