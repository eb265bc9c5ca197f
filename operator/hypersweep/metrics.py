"""What Prometheus reads: the series of each sweep, its live trials' values, and the operator's own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from hypersweep.journal import History
from hypersweep.runner import Key, Live, Phase
from hypersweep.tally import SECONDS, Histogram, Tally, reported, tally
from hypersweep.trial import Objective

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True)
class Metric:
    kind: str  # gauge | counter | histogram
    text: str
    labels: tuple[str, ...] = ()


SWEEP = ("namespace", "sweep")
METRICS: Mapping[str, Metric] = {
    "hypersweep_info": Metric("gauge", "One per sweep", (*SWEEP, "strategy", "objective", "goal")),
    "hypersweep_phase": Metric("gauge", "1 for the phase that a sweep is in", (*SWEEP, "phase")),
    "hypersweep_trials": Metric("gauge", "Trials by state", (*SWEEP, "state")),
    "hypersweep_trials_finished_total": Metric("counter", "Trials that ended, by result", (*SWEEP, "result")),
    "hypersweep_trial_restarts_total": Metric(
        "counter", "Attempts that another one replaced, by reason", (*SWEEP, "reason")
    ),
    "hypersweep_trial_duration_seconds": Metric("histogram", "From start to end of an attempt", SWEEP),
    "hypersweep_trial_queue_seconds": Metric("histogram", "From launch to start of an attempt", SWEEP),
    "hypersweep_best_objective": Metric("gauge", "Best mean over all replicates", (*SWEEP, "metric")),
    "hypersweep_last_improvement_timestamp_seconds": Metric("gauge", "When the best one ended", SWEEP),
    "hypersweep_gpu_seconds_total": Metric("counter", "GPU time of ended attempts", SWEEP),
    "hypersweep_sweep_completion_ratio": Metric(
        "gauge", "Trials that ended by trials planned, where that is known", SWEEP
    ),
    "hypersweep_trial_metric": Metric(
        "gauge", "Latest value of a metric of a live trial", (*SWEEP, "trial", "metric")
    ),
    "hypersweep_trial_step": Metric("gauge", "Latest step of a live trial", (*SWEEP, "trial")),
    "hypersweep_reconcile_total": Metric("counter", "Passes over sweeps", ("result",)),
    "hypersweep_reconcile_duration_seconds": Metric("histogram", "Duration of a pass"),
    "hypersweep_workqueue_depth": Metric("gauge", "Sweeps that wait for a pass"),
    "hypersweep_workqueue_oldest_seconds": Metric("gauge", "How long the first of them has waited"),
    "hypersweep_workqueue_retries_total": Metric("counter", "Passes that were put off by an error"),
    "hypersweep_api_requests_total": Metric(
        "counter", "Requests to the Kubernetes API; code 0: no answer", ("verb", "resource", "code")
    ),
    "hypersweep_api_request_duration_seconds": Metric("histogram", "Time to the answer's head", ("verb",)),
    "hypersweep_watch_restarts_total": Metric("counter", "Watches that ended and were resumed", ("scope",)),
    "hypersweep_watch_last_event_timestamp_seconds": Metric(
        "gauge", "When a watch last heard of the API server", ("scope",)
    ),
    "hypersweep_store_errors_total": Metric("counter", "Passes and reads that a store failed", ("kind",)),
    "hypersweep_leader": Metric("gauge", "1 while this operator holds the lease"),
    "hypersweep_build_info": Metric("gauge", "Version of the operator", ("version",)),
}


@dataclass
class Series:
    """One sweep's series; `history` is None for one that ended before this process began."""

    namespace: str
    sweep: str
    strategy: str
    objective: Objective
    replicates: int
    status: Mapping[str, Any]
    history: History | None = None
    live: Mapping[Key, Live] = field(default_factory=dict)
    _tally: Tally | None = None

    def tally(self) -> Tally:
        """Computed when it is read, not when it changes: a history can grow many times between two reads."""
        if self._tally is None:
            if self.history is None:
                self._tally = reported(self.status)
            else:
                self._tally = tally(self.history, self.objective, self.replicates)
        return self._tally

    def after(self, before: "Series | None") -> "Series":
        """Itself; what was computed of the same history is not computed again."""
        if before is not None and before.history is self.history:
            self._tally = before._tally
        return self

    def freeze(self) -> None:
        """Keep the numbers of a sweep that is over, not its history."""
        self.tally()
        self.history, self.live = None, {}


class Registry(Collector):
    """The series of every sweep that there is, and the operator's own."""

    def __init__(self, version: str = "") -> None:
        self._lock = Lock()
        self._sweeps: dict[tuple[str, str], Series] = {}
        self._counts: dict[str, dict[tuple[str, ...], float]] = {}
        self._histograms: dict[str, dict[tuple[str, ...], Histogram]] = {}
        self._gauges: dict[str, Callable[[], Mapping[tuple[str, ...], float]]] = {}
        self.gauge("hypersweep_build_info", lambda: {(version,): 1.0})

    def put(self, series: Series) -> None:
        with self._lock:
            self._sweeps[series.namespace, series.sweep] = series

    def drop(self, namespace: str, sweep: str) -> None:
        with self._lock:
            self._sweeps.pop((namespace, sweep), None)

    def sweeps(self) -> list[Series]:
        with self._lock:
            return list(self._sweeps.values())

    def count(self, name: str, *labels: str) -> None:
        with self._lock:
            counts = self._counts.setdefault(name, {})
            counts[labels] = counts.get(labels, 0.0) + 1.0

    def measure(self, name: str, value: float, *labels: str, bounds: tuple[float, ...] = SECONDS) -> None:
        with self._lock:
            found = self._histograms.setdefault(name, {})
            found.setdefault(labels, Histogram(bounds)).add(value)

    def gauge(self, name: str, read: Callable[[], Mapping[tuple[str, ...], float]]) -> None:
        """A value, or a counter that somebody else keeps, read at each scrape."""
        self._gauges[name] = read

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One request to the Kubernetes API."""
        self.count("hypersweep_api_requests_total", verb, resource, code)
        name = "hypersweep_api_request_duration_seconds"
        self.measure(name, seconds, verb, bounds=REQUEST_SECONDS)

    def collect(self) -> Iterator[Family]:
        families: dict[str, Any] = {name: _family(name, metric) for name, metric in METRICS.items()}
        with self._lock:
            counts = {name: dict(found) for name, found in self._counts.items()}
            for name, found in self._histograms.items():
                for labels, histogram in found.items():
                    families[name].add_metric(labels, histogram.buckets(), histogram.sum)
        for name, by_labels in counts.items():
            for labels, value in by_labels.items():
                families[name].add_metric(labels, value)
        for name, read in self._gauges.items():
            for labels, value in read().items():
                families[name].add_metric(labels, value)
        for series in self.sweeps():
            _add(families, series)
        yield from families.values()


def _family(name: str, metric: Metric) -> Family:
    match metric.kind:
        case "counter":
            return CounterMetricFamily(name, metric.text, labels=metric.labels)
        case "histogram":
            return HistogramMetricFamily(name, metric.text, labels=metric.labels)
    return GaugeMetricFamily(name, metric.text, labels=metric.labels)


def _add(families: Mapping[str, Any], series: Series) -> None:
    sweep = (series.namespace, series.sweep)
    found = series.tally()

    def add(name: str, value: float | None, *labels: str) -> None:
        if value is not None:
            families[name].add_metric((*sweep, *labels), value)

    objective = series.objective
    goal = "maximize" if objective.maximize else "minimize"
    add("hypersweep_info", 1.0, series.strategy, objective.metric, goal)
    add("hypersweep_phase", 1.0, str(series.status.get("phase") or "Pending"))
    for state, number in _states(series.status):
        add("hypersweep_trials", number, state)
    for result, number in found.finished.items():
        add("hypersweep_trials_finished_total", number, result)
    for reason, number in found.restarts.items():
        add("hypersweep_trial_restarts_total", number, reason)
    histograms = {
        "hypersweep_trial_duration_seconds": found.duration,
        "hypersweep_trial_queue_seconds": found.queue,
    }
    for name, histogram in histograms.items():
        families[name].add_metric(sweep, histogram.buckets(), histogram.sum)
    add("hypersweep_best_objective", found.best, objective.metric)
    improved = None if found.improved is None else found.improved.timestamp()
    add("hypersweep_last_improvement_timestamp_seconds", improved)
    add("hypersweep_gpu_seconds_total", found.gpu_seconds)
    if total := (series.status.get("trials") or {}).get("total"):
        add("hypersweep_sweep_completion_ratio", min(sum(found.finished.values()) / total, 1.0))
    for live in series.live.values():
        if live.phase is Phase.RUNNING:
            for metric, value in live.progress.items():
                add("hypersweep_trial_metric", value, str(live.trial), metric)
            add("hypersweep_trial_step", live.step, str(live.trial))


STATES = ("pending", "running", "waiting", "done", "infeasible", "failed", "stopped")


def _states(status: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    trials = status.get("trials") or {}
    return ((state, float(trials.get(state, 0))) for state in STATES)
