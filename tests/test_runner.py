"""A trial's own words: read leniently, and whatever else is in them is refused as one kind of error."""

import math

import pytest

from hypersweep.runner import Metric, Result, parse_message, parse_result


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
