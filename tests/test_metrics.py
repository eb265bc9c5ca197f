from datetime import UTC, datetime, timedelta

from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from hypersweep.journal import Ended, History, Launched
from hypersweep.metrics import METRICS, Registry, Series
from hypersweep.runner import Live, Phase
from hypersweep.trial import End, Objective, Suggestion

START = datetime(2026, 1, 1, tzinfo=UTC)
LOSS = Objective("loss", maximize=False)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def ran(number: int, loss: float, *, begun: float = 1, seconds: float = 10) -> list[Launched | Ended]:
    """A trial that was launched at the start and did its work."""
    end = Ended(
        at=after(begun + seconds + 2),
        trial=number,
        attempt=0,
        end=End.DONE,
        final=True,
        metrics={"loss": loss},
        started=after(begun),
        finished=after(begun + seconds),
        gpu_seconds=2 * seconds,
    )
    return [Launched(START, number, 0, Suggestion({"lr": number}, seed=0)), end]


def preempted(number: int) -> list[Launched | Ended]:
    """A trial whose first attempt was lost and whose second one runs."""
    first = Ended(after(5), number, 0, End.PREEMPTED, final=False, started=after(1), finished=after(4))
    return [
        Launched(START, number, 0, Suggestion({"lr": number}, seed=0)),
        first,
        Launched(after(6), number, 1),
    ]


def a_series(*facts: list[Launched | Ended], live: tuple[Live, ...] = (), **status: object) -> Series:
    history = History().fold([fact for part in facts for fact in part])
    seen = {attempt.key: attempt for attempt in live}
    return Series("team", "digits", "grid", LOSS, 1, status, history, seen)


def scraped(series: Series | None = None, registry: Registry | None = None) -> dict[str, float]:
    """The samples, by name and sorted labels beyond namespace and sweep."""
    registry = registry or Registry("1.2.3")
    if series is not None:
        registry.put(series)
    found = {}
    for family in registry.collect():
        for sample in family.samples:
            rest = [f"{k}={v}" for k, v in sorted(sample.labels.items()) if k not in ("namespace", "sweep")]
            found[" ".join([sample.name, *rest])] = sample.value
    return found


def test_a_finished_trial_counts_by_its_result_and_its_times() -> None:
    found = scraped(a_series(ran(0, 0.5), ran(1, 0.25, begun=3, seconds=40)))

    assert 2 == found["hypersweep_trials_finished_total result=Done"]
    assert (2, 50) == (
        found["hypersweep_trial_duration_seconds_count"],
        found["hypersweep_trial_duration_seconds_sum"],
    )
    assert 1 == found["hypersweep_trial_duration_seconds_bucket le=10.0"]
    assert 2 == found["hypersweep_trial_duration_seconds_bucket le=+Inf"]
    assert 4 == found["hypersweep_trial_queue_seconds_sum"]
    assert 100 == found["hypersweep_gpu_seconds_total"]


def test_the_best_and_when_it_was_found() -> None:
    found = scraped(a_series(ran(0, 0.5), ran(1, 0.25, begun=3, seconds=40), ran(2, 0.75, seconds=90)))

    assert 0.25 == found["hypersweep_best_objective metric=loss"]
    assert after(43).timestamp() == found["hypersweep_last_improvement_timestamp_seconds"]


def test_a_restart_counts_by_the_reason_of_the_attempt_before() -> None:
    found = scraped(a_series(preempted(0)))

    assert 1 == found["hypersweep_trial_restarts_total reason=Preempted"]
    assert 0 == found["hypersweep_trial_restarts_total reason=Error"]


def test_nothing_is_best_before_something_is_done() -> None:
    found = scraped(a_series(preempted(0)))

    assert not [name for name in found if name.startswith(("hypersweep_best", "hypersweep_last_impr"))]


def test_only_running_trials_have_series_of_their_own() -> None:
    running = Live(1, 0, Phase.RUNNING, START, step=7, progress={"loss": 0.5})
    over = Live(0, 0, Phase.ENDED, START, step=9, progress={"loss": 0.25})
    found = scraped(a_series(ran(0, 0.25), live=(running, over)))

    series = {name: value for name, value in found.items() if "trial=" in name}
    assert {"hypersweep_trial_metric metric=loss trial=1": 0.5, "hypersweep_trial_step trial=1": 7} == series


def test_completion_is_known_when_the_total_is() -> None:
    known = scraped(a_series(ran(0, 0.5), phase="Running", trials={"total": 4}))
    unknown = scraped(a_series(ran(0, 0.5), phase="Running", trials={}))

    assert 0.25 == known["hypersweep_sweep_completion_ratio"]
    assert "hypersweep_sweep_completion_ratio" not in unknown


def test_the_series_of_a_sweep_go_with_it() -> None:
    registry = Registry("1.2.3")
    registry.put(a_series(ran(0, 0.5)))
    registry.drop("team", "digits")

    assert not [name for name in scraped(registry=registry) if "trial" in name or "info" in name][1:]


def test_a_sweep_that_is_over_keeps_its_numbers_without_its_history() -> None:
    series = a_series(ran(0, 0.5), phase="Succeeded", trials={"total": 1, "done": 1})
    before = scraped(series)
    series.freeze()

    assert (before, None) == (scraped(series), series.history)


def test_a_sweep_that_was_over_at_the_start_shows_what_its_status_tells() -> None:
    status = {
        "phase": "Succeeded",
        "trials": {"total": 3, "done": 2, "failed": 1},
        "restarts": {"Lost": 2},
        "gpuSeconds": 60.0,
        "best": [{"value": 0.5}],
    }
    found = scraped(Series("team", "digits", "grid", LOSS, 1, status))

    assert 2 == found["hypersweep_trials_finished_total result=Done"]
    assert 2 == found["hypersweep_trial_restarts_total reason=Lost"]
    assert (0.5, 60.0) == (
        found["hypersweep_best_objective metric=loss"],
        found["hypersweep_gpu_seconds_total"],
    )


def test_what_was_counted_for_a_history_is_not_counted_again() -> None:
    first = a_series(ran(0, 0.5))
    second = Series("team", "digits", "grid", LOSS, 1, {}, first.history)

    assert first.tally() is second.after(first).tally()


def test_requests_count_by_verb_resource_and_code() -> None:
    registry = Registry("1.2.3")
    registry.request("create", "jobs", "201", 0.02)
    found = scraped(registry=registry)

    assert 1 == found["hypersweep_api_requests_total code=201 resource=jobs verb=create"]
    assert 1 == found["hypersweep_api_request_duration_seconds_bucket le=0.025 verb=create"]


def test_a_scrape_holds_every_metric_of_the_table_and_no_other() -> None:
    collectors = CollectorRegistry()
    collectors.register(Registry("1.2.3"))
    lines = generate_latest(collectors).decode().splitlines()

    assert set(METRICS) == {line.split()[2] for line in lines if line.startswith("# TYPE")}


def test_names_end_in_their_unit_or_total() -> None:
    counters = {name for name, metric in METRICS.items() if metric.kind == "counter"}
    timed = {name for name, metric in METRICS.items() if metric.kind == "histogram"}

    assert {name for name in METRICS if name.endswith("_total")} == counters
    assert all(name.endswith("_seconds") for name in timed)
