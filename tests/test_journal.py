"""The facts of a sweep: written and read back without loss, folded in any portions to the same history."""

from datetime import timedelta

import pytest

from hypersweep.journal import Decided, Ended, Fact, History, Launched, Opened, Stopped, decode, encode
from hypersweep.trial import Checks, End, Slot, Status, Suggestion
from tests.world import START


def a_suggestion(
    slot: Slot | None = None, replicate: int = 0, base: dict[str, int] | None = None
) -> Suggestion:
    resolved = {"batch_size": 64} if replicate else None
    return Suggestion({"lr": 0.1, "hidden": (64, 64)}, 7, replicate, slot=slot, base=base, resolved=resolved)


def facts() -> list[Fact]:
    slotted = a_suggestion(slot=Slot(1, 2, 3, 4, 0), replicate=1, base={"stage": 0})
    return [
        Opened(START, {"seed": 0}, "u1", {"sweep://base/best": "s3://sweeps/base"}),
        Launched(START, 0, 0, a_suggestion()),
        Ended(START, 0, 0, End.ERROR, False, "exit status 1", gpu_seconds=3.5),
        Launched(START, 0, 1),
        Launched(START, 1, 0, slotted),
        Stopped(START, 1, 0, "Suspended"),
        Ended(START, 1, 0, End.SUSPENDED, False, started=START, finished=START + timedelta(seconds=2)),
        Ended(
            START,
            0,
            1,
            End.DONE,
            True,
            metrics={"loss": 0.25},
            details={"steps": 10},
            checks=Checks(2, ("gap: leak",)),
            resolved={"batch_size": 64},
        ),
        Decided(START, 0, "lr", "stage", 0, {"lr": 0.1}, True, "because", {"n": 3}),
    ]


def test_facts_are_read_back_as_they_were_written() -> None:
    assert decode(encode(facts())) == facts()


def test_a_history_does_not_depend_on_how_the_facts_are_cut_into_segments() -> None:
    whole = History().fold(facts())

    single = History()
    for fact in facts():
        single = single.fold([fact])

    assert single == whole


def test_a_history_counts_trials_ends_and_gpu_time() -> None:
    history = History().fold(facts())

    assert history.counts == {Status.DONE: 1}
    assert history.ends == {End.ERROR: 1, End.SUSPENDED: 1, End.DONE: 1}
    assert history.gpu_seconds == 3.5
    assert history.trials[1].status is Status.WAITING
    assert history.at(Slot(1, 2, 3, 4, 0)) is history.trials[1]


def test_a_history_knows_what_checks_said_and_what_was_found() -> None:
    trial = History().fold(facts()).trials[0]

    assert trial.checks == Checks(2, ("gap: leak",))
    assert trial.resolved == {"batch_size": 64}


def test_checks_that_all_passed_are_not_the_same_as_none() -> None:
    ends = [Ended(START, 0, 0, End.DONE, True, checks=checks) for checks in (Checks(), None)]

    assert decode(encode(ends)) == ends


def test_folding_leaves_the_history_it_starts_from_as_it_was() -> None:
    before = History().fold(facts()[:2])

    before.fold(facts()[2:])

    assert before.launched == 1
    assert before.trials[0].last.end is None


@pytest.mark.parametrize(
    "wrong",
    [
        Ended(START, 0, 1, End.DONE, True),
        Launched(START, 7, 0, a_suggestion()),
        Launched(START, 0, 5),
        Opened(START, {}, "u2"),
    ],
)
def test_a_fact_that_contradicts_the_journal_is_never_folded(wrong: Fact) -> None:
    history = History().fold(facts())

    with pytest.raises(AssertionError, match="journal"):
        history.fold([wrong])


def test_a_fact_of_a_later_version_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'Paused' is unknown"):
        decode(b'{"fact":"Paused"}\n')
