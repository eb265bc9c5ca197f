"""The status document: what people see of a sweep, bounded at any number of trials."""

import json
from datetime import timedelta
from typing import Any

import pytest

from hypersweep import news, status
from hypersweep.api import SweepSpec, TrialSpec, load
from hypersweep.goal import SweepPhase
from hypersweep.journal import Ended, History, Launched, Opened
from hypersweep.plan import Plan, plan
from hypersweep.runner import Live, Phase
from hypersweep.status import Condition
from hypersweep.trial import Checks, End, Suggestion
from hypersweep_trainer.options import PRESETS
from tests.world import START

RANDOM = """
apiVersion: hypersweep.io/v1alpha1
kind: HyperSweep
metadata: {name: many}
spec:
  objectives: [{metric: loss, goal: minimize}]
  parameters: [{name: x, float: {min: 0, max: 1}}]
  strategy: {random: {}}
  maxTrials: 10000
  trial: {podTemplate: {spec: {containers: [{name: trial, command: [train]}]}}}
"""


def a_spec() -> SweepSpec:
    return load(RANDOM).spec


def a_history(trials: int, failed: int = 0, text: str = "") -> History:
    facts: list[Any] = [Opened(START, {}, "u1")]
    for number in range(trials):
        suggestion = Suggestion({"x": number / trials, "note": text}, 1, draw=number)
        end = End.ERROR if number % 7 == 0 and number < 7 * failed else End.DONE
        facts.append(Launched(START, number, 0, suggestion))
        facts.append(Ended(START, number, 0, end, True, metrics={"loss": 1 + number % 13}))
    return History().fold(facts)


def a_document(
    history: History,
    previous: dict[str, Any] | None = None,
    spec: SweepSpec | None = None,
    **changes: Any,
) -> dict[str, Any]:
    plan = Plan(history, **changes)
    return status.document(
        spec or a_spec(), plan, {}, START + timedelta(hours=1), previous=previous or {}, generation=3
    )


def test_the_status_of_ten_thousand_trials_is_small() -> None:
    document = a_document(a_history(10_000, failed=1400, text="long choice " * 200))

    assert len(json.dumps(document)) < 16 * 1024
    assert document["progress"] == "10000/10000"


def test_the_best_ten_come_best_first_and_ties_go_to_the_earliest() -> None:
    document = a_document(a_history(100))

    assert [entry["trials"][0] for entry in document["best"]] == [0, 13, 26, 39, 52, 65, 78, 91, 1, 14]
    assert document["bestValue"] == "1"


def test_index_ranges_read_as_a_jobs() -> None:
    assert status.ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"


def test_a_long_list_of_ranges_is_cut_between_two() -> None:
    text = status.ranges(range(0, 20_000, 2))

    assert len(text) <= status.RANGES + 2
    assert text.endswith(",…")


def test_a_condition_keeps_its_time_until_it_flips() -> None:
    first = status.merge([], [Condition("Failed", False, "Searching")], 1, START)
    later = START + timedelta(hours=1)

    same = status.merge(first, [Condition("Failed", False, "Draining")], 2, later)
    flipped = status.merge(first, [Condition("Failed", True, "TooManyFailed")], 2, later)

    assert same[0]["lastTransitionTime"] == first[0]["lastTransitionTime"]
    assert flipped[0]["lastTransitionTime"] == "2026-01-01T01:00:00Z"
    assert flipped[0]["observedGeneration"] == 2


def test_a_terminal_sweep_keeps_the_moment_it_ended() -> None:
    first = a_document(a_history(3), phase=SweepPhase.SUCCEEDED, reason="Completed")

    again = a_document(a_history(3), first | {"finishedAt": "then"}, phase=SweepPhase.SUCCEEDED)

    assert first["finishedAt"] == "2026-01-01T01:00:00+00:00"
    assert again["finishedAt"] == "then"


def test_a_failed_trial_degrades_the_sweep() -> None:
    conditions = {c["type"]: c for c in a_document(a_history(10, failed=1))["conditions"]}

    assert conditions["Degraded"]["status"] == "True"
    assert conditions["Degraded"]["message"] == "1 trial failed"


def test_the_cause_of_the_last_failure_stands_in_the_condition() -> None:
    ended = Ended(START, 3, 0, End.ERROR, True, reason="exit status 1")
    history = a_history(3).fold([Launched(START, 3, 0, Suggestion({"x": 0.5}, 1)), ended])

    conditions = {c["type"]: c for c in a_document(history)["conditions"]}

    assert conditions["Degraded"]["message"] == "1 trial failed, the last one by exit status 1"


def test_a_trial_that_does_not_start_says_why() -> None:
    history = a_history(1).fold([Launched(START, 1, 0, Suggestion({"x": 0.5}, 1))])
    waiting = Live(1, 0, Phase.PENDING, START, cause="ImagePullBackOff: no such image")

    document = status.document(
        a_spec(), Plan(history), {waiting.key: waiting}, START, previous={}, generation=1
    )
    conditions = {c["type"]: c for c in document["conditions"]}

    assert document["message"] == "trial 1 does not start: ImagePullBackOff: no such image"
    assert conditions["Progressing"]["message"] == document["message"]


def test_a_new_sweep_is_pending() -> None:
    decided = plan(a_spec(), History(), {}, START, writes=0)

    document = status.document(a_spec(), decided, {}, START, previous={}, generation=1)

    assert document["phase"] == "Pending"


@pytest.mark.parametrize(
    ("checks", "told"),
    [
        (Checks(7), ("True", "ChecksPassed", "7 passed")),
        (Checks(6, (), ("gap: overfit",)), ("True", "ChecksHint", "gap: overfit")),
        (Checks(5, ("mean: 0.4",), ("gap: overfit",)), ("False", "ChecksFailed", "mean: 0.4; gap: overfit")),
    ],
)
def test_what_the_first_trial_checked_is_a_condition(checks: Checks, told: tuple[str, ...]) -> None:
    facts = [
        Launched(START, 0, 0, Suggestion({"x": 0.5}, 1)),
        Ended(START, 0, 0, End.DONE, True, metrics={"loss": 1.0}, checks=checks),
    ]
    conditions = {c["type"]: c for c in a_document(History().fold(facts))["conditions"]}

    assert told == tuple(conditions["Checked"][name] for name in ("status", "reason", "message"))


def test_a_sweep_without_a_result_is_a_condition_and_an_event_that_say_why() -> None:
    why = "all 3 trials ran; no trial came to a result: InvalidConfig: model: must be one of mlp, conv"
    document = a_document(a_history(0), phase=SweepPhase.FAILED, reason="NoResult", message=why)
    conditions = {c["type"]: c for c in document["conditions"]}

    assert ("Failed", "NoResult", why) == tuple(document[name] for name in ("phase", "reason", "message"))
    for kind, is_so in (("Failed", "True"), ("Succeeded", "False"), ("Progressing", "False")):
        assert (is_so, "NoResult", why) == tuple(
            conditions[kind][name] for name in ("status", "reason", "message")
        )
    assert [("Failed", why, True)] == list(news.of_phase(a_spec(), {"phase": "Running"}, document))


def test_a_best_at_the_end_of_its_range_is_a_condition_and_an_event_once_the_sweep_has_ended() -> None:
    facts: list[Any] = []
    for number in range(20):
        facts.append(Launched(START, number, 0, Suggestion({"x": number / 20}, 1, draw=number)))
        facts.append(Ended(START, number, 0, End.DONE, True, metrics={"loss": 1 - number / 20}))
    history = History().fold(facts)
    running, over = (
        a_document(history, phase=phase, reason="Completed")
        for phase in (SweepPhase.RUNNING, SweepPhase.SUCCEEDED)
    )

    said = "best x 0.95 lies at the upper end of 0 to 1: widen it"
    assert "RangesSuffice" not in {c["type"] for c in running["conditions"]}
    condition = next(c for c in over["conditions"] if c["type"] == "RangesSuffice")
    assert ("False", "BestAtEnd", said) == tuple(condition[name] for name in ("status", "reason", "message"))
    assert ("BestAtEnd", said, True) in list(news.of_phase(a_spec(), running, over))


def test_nothing_is_said_of_checks_before_the_first_trial_has_told() -> None:
    assert "Checked" not in {c["type"] for c in a_document(a_history(3))["conditions"]}


def test_the_model_that_a_sweep_starts_from_is_a_condition() -> None:
    models = {"sweep://base/best": "s3://sweeps/team/base-1/trials/00003/attempts/0/model"}
    history = History().fold([Opened(START, {}, "u1", models)])
    conditions = {c["type"]: c for c in a_document(history)["conditions"]}

    assert "True" == conditions["PretrainedAvailable"]["status"]
    assert models["sweep://base/best"] in conditions["PretrainedAvailable"]["message"]


def built_in(**trainer: Any) -> SweepSpec:
    return a_spec().model_copy(update={"trainer": trainer, "trial": TrialSpec()})


def test_what_a_preset_sets_stands_in_one_line_without_what_was_set_by_hand() -> None:
    document = a_document(a_history(1), spec=built_in(preset="scratch", epochs=5))
    line = document["preset"]

    assert line.startswith("preset scratch sets ")
    assert "warmup 0.05" in line.removeprefix("preset scratch sets ").split(", ")
    assert "epochs" not in line


def test_without_a_preset_nothing_is_said_of_one() -> None:
    assert all("preset" not in a_document(a_history(1), spec=spec) for spec in (built_in(), a_spec()))


@pytest.mark.parametrize("preset", PRESETS)
def test_what_any_preset_sets_is_short(preset: str) -> None:
    document = a_document(a_history(1), spec=built_in(preset=preset))

    assert len(document.get("preset", "")) < status.TEXT
