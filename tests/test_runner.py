"""A trial's own words: read leniently, and whatever else is in them is refused as one kind of error."""

import math

import pytest

from hypersweep.runner import SENTENCE, SENTENCES, Metric, Result, parse_message, parse_result
from hypersweep.trial import Checks


def test_numbers_may_be_strings() -> None:
    entry = {"last": "0.5", "best": 0.25, "bestStep": "12", "value": "0.25"}
    document = {"status": "done", "metrics": {"loss": entry, "accuracy": "0.9"}, "steps": 12.0}

    result = parse_result(document)

    metrics = {"loss": Metric(0.25, 0.5, 0.25, 12), "accuracy": Metric(0.9, 0.9)}
    assert Result("done", metrics, steps=12) == result


@pytest.mark.parametrize(
    "document",
    [None, [], "done", {}, {"status": "ok"}, {"status": "done", "metrics": [1]}, {"status": ["done"]}],
)
def test_what_is_no_result_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="result"):
        parse_result(document)


@pytest.mark.parametrize("steps", [math.nan, math.inf, 10**400, True, [], "many"])
def test_a_count_that_is_none_is_left_out(steps: object) -> None:
    assert parse_result({"status": "done", "steps": steps}).steps is None


def test_a_number_beyond_all_floats_is_no_metric() -> None:
    assert {} == parse_result({"status": "done", "metrics": {"loss": 10**400}}).metrics


def test_a_message_holds_at_least_one_number() -> None:
    assert Metric(1.0, 1.0) == parse_message({"loss": 1, "note": "fine"}).metrics["loss"]
    with pytest.raises(ValueError, match="number"):
        parse_message({"note": "fine"})


def test_the_checks_of_a_result_are_sentences_by_their_verdict() -> None:
    checks = {
        "initial_loss": {
            "verdict": "fail",
            "found": 9.1,
            "expected": 2.3,
            "words": "it is 9.1, not 2.3",
        },
        "gap": {"verdict": "hint", "words": "overfit"},
        "overfit": {"verdict": "ok", "words": ""},
        "stalled": {},
        "hints": {"verdict": "hint", "words": "norm: try batch"},
    }

    assert (
        Checks(1, ("initial_loss: it is 9.1, not 2.3",), ("gap: overfit",), "norm: try batch")
        == parse_result({"status": "done", "checks": checks}).checks
    )


def test_advice_that_has_nothing_to_add_is_none() -> None:
    checks = {"hints": {"verdict": "ok", "words": "nothing to add"}}

    assert Checks() == parse_result({"status": "done", "checks": checks}).checks


@pytest.mark.parametrize("checks", [None, {}, [], "none", {"gap": "overfit"}, {"gap": None}])
def test_no_result_is_refused_for_its_checks(checks: object) -> None:
    assert parse_result({"status": "done", "checks": checks}).checks is None


def test_what_checks_say_is_bounded() -> None:
    many = {f"check-{n}": {"verdict": "fail", "words": "x" * 10_000} for n in range(1000)}

    checks = parse_result({"status": "done", "checks": many}).checks

    assert checks is not None
    assert (SENTENCES, {SENTENCE}) == (len(checks.failed), set(map(len, checks.failed)))


def test_a_message_tells_failed_checks_and_what_was_found_in_words_and_values() -> None:
    message = {"val_loss": "nan", "reason": "a check failed", "checks": "gap: leak", "resolved": {"lr": 0.1}}

    result = parse_message(message)

    assert ("a check failed", Checks(failed=("gap: leak",)), {"lr": 0.1}) == (
        result.reason,
        result.checks,
        result.resolved,
    )
    assert ["val_loss"] == list(result.metrics)


def test_a_message_without_a_word_on_checks_tells_nothing_of_them() -> None:
    assert parse_message({"loss": 1}).checks is None
    assert Checks() == parse_message({"loss": 1, "checks": ""}).checks
