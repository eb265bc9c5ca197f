"""Why trials came to no result: the commonest reasons, counted and cut."""

from hypersweep import fruitless
from hypersweep.trial import Attempt, End, Status, Suggestion, Trial
from tests.world import START


def a_trial(status: Status, end: End, reason: str = "") -> Trial:
    return Trial(0, Suggestion({}, 1), (Attempt(0, START, end=end, reason=reason),), status)


def refused(reason: str = "model: unknown") -> Trial:
    return a_trial(Status.FAILED, End.CONFIG, reason)


def test_the_commonest_reasons_come_first_and_the_rest_is_a_number() -> None:
    rare = [a_trial(Status.FAILED, End.ERROR, reason) for reason in ("one", "two", "three")]

    said = fruitless.quoted([rare[0], refused(), refused(), *rare[1:]])

    assert "InvalidConfig: model: unknown (2 trials); Error: one; and 2 more reasons" == said


def test_a_trial_that_tells_no_reason_is_told_by_its_end() -> None:
    assert "Timeout" == fruitless.quoted([a_trial(Status.FAILED, End.TIMEOUT)])


def test_results_and_what_was_stopped_are_no_reason() -> None:
    trials = [a_trial(Status.DONE, End.DONE), a_trial(Status.STOPPED, End.STOPPED)]

    assert ("", "nothing ran") == (fruitless.quoted(trials), fruitless.after("nothing ran", trials))


def test_a_long_reason_is_cut() -> None:
    assert fruitless.TEXT == len(fruitless.quoted([refused("x" * 10_000)]))
