"""Passes over the sweeps of a cluster: read the object, take one step, report it, say when to look again."""

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from threading import Lock

from hypersweep import api, condition, news, status
from hypersweep.cache import Job, Jobs
from hypersweep.kube import SWEEPS, Document, Kube, KubeError
from hypersweep.metrics import Registry, Series
from hypersweep.model import NoModel
from hypersweep.news import News
from hypersweep.opening import Opening
from hypersweep.publisher import Publisher
from hypersweep.reconcile import SpecChanged, Step, SweepGone
from hypersweep.recorder import Recorder
from hypersweep.runner import Exit
from hypersweep.settings import StoreNotAllowed
from hypersweep.status import PRETRAINED, Condition
from hypersweep.store import StoreError, StoreRefused
from hypersweep.tracked import Key, Tracked
from hypersweep.trial import Objective
from hypersweep.workqueue import WorkQueue

FIRST_RETRY = 0.5
LONGEST_RETRY = 60.0

log = logging.getLogger(__name__)


class Controller:
    """What an operator knows of its sweeps, by namespace and name."""

    def __init__(
        self,
        kube: Kube,
        jobs: Callable[[str], Jobs],
        opening: Opening,
        queue: WorkQueue[Key],
        registry: Registry,
        recorder: Recorder,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kube = kube
        self._jobs = jobs
        self._opening = opening
        self._queue = queue
        self._registry = registry
        self._recorder = recorder
        self._publisher = Publisher(kube, queue, recorder, clock, now)
        self._clock = clock
        self._now = now
        self._lock = Lock()
        self._tracked: dict[Key, Tracked] = {}

    # -- what wakes a sweep

    def seen(self, document: Document, deleted: bool = False) -> None:
        """A HyperSweep as the API server tells it."""
        key = (document["metadata"]["namespace"], document["metadata"]["name"])
        with self._lock:
            before = self._tracked.get(key)
            same = before is not None and before.uid == document["metadata"]["uid"]
            if deleted:
                if same:
                    self._forget(key)
                return
            if before is not None and same:
                changed = before.see(document)
            else:
                self._forget(key)
                self._tracked[key] = Tracked(document)
                changed = True
        if changed:
            self._queue.add(key)

    def changed(self, job: Job) -> None:
        """A Job of a sweep, of this one or of a deleted one that had its name."""
        self._queue.add((job.namespace, job.sweep))

    def retain(self, uids: set[str]) -> None:
        """Forget every other sweep: its deletion was missed."""
        with self._lock:
            for key in [key for key, tracked in self._tracked.items() if tracked.uid not in uids]:
                log.info("%s/%s: gone", *key)
                self._forget(key)

    @property
    def uids(self) -> set[str]:
        with self._lock:
            return {tracked.uid for tracked in self._tracked.values()}

    # -- the pass

    def run(self, key: Key) -> None:
        """One pass over one sweep; whatever happens to it stays its own."""
        tracked = self._tracked.get(key)
        if tracked is None:
            return
        begun = self._clock()
        result = "error"
        try:
            result = self._pass(key, tracked)
        except SweepGone:
            result = "gone"
            self._gone(key, tracked)
        except KubeError as error:
            log.warning("%s/%s: %s", *key, error)
            self._again(key, tracked)
        except Exception:
            log.exception("%s/%s: the pass failed", *key)
            self._again(key, tracked)
        finally:
            self._registry.count("hypersweep_reconcile_total", result)
            self._registry.measure("hypersweep_reconcile_duration_seconds", self._clock() - begun)

    def _pass(self, key: Key, tracked: Tracked) -> str:
        if tracked.deleting:
            return "deleting"
        try:
            if tracked.parked and not self._leftovers(key, tracked):
                self._park(key, tracked)
                return "parked"
            return self._step(key, tracked)
        except api.SpecError as error:
            message = "\n".join(error.problems)
            self._publisher.fault(tracked, Condition("SpecValid", False, "Invalid", message))
            return "invalid"
        except SpecChanged as error:
            message = "\n".join(error.fields)
            self._publisher.fault(tracked, Condition("SpecValid", False, "ImmutableFieldChanged", message))
            return "invalid"
        except NoModel as error:
            self._publisher.fault(tracked, Condition(PRETRAINED, False, error.reason, str(error)))
            self._again(key, tracked)
            return "waiting"
        except StoreNotAllowed as error:
            self._publisher.fault(tracked, Condition("StoreAvailable", False, "NotAllowed", str(error)))
            return "invalid"
        except StoreError as error:
            refused = isinstance(error, StoreRefused)
            self._registry.count("hypersweep_store_errors_total", "refused" if refused else "failed")
            reason = "Refused" if refused else "Unreachable"
            self._publisher.fault(tracked, Condition("StoreAvailable", False, reason, str(error)))
            self._again(key, tracked)
            return "store"

    def _step(self, key: Key, tracked: Tracked) -> str:
        spec = tracked.parse(self._opening.durable)
        opened = tracked.opened
        if opened is None:
            jobs, confirm = self._jobs(key[0]), self._confirm(key, tracked)
            opened = self._opening.open(
                key, tracked.uid, spec, tracked.status, jobs, lambda: self._queue.add(key), confirm
            )
            tracked.opened = opened
        opened.runner.spec = spec
        now = self._now()
        step = opened.sweep.step(spec, now)
        self._tell(tracked, news.of_facts(step.plan))
        # a report goes over all trials: it is made when it may be written, not at every change
        if self._publisher.may(tracked, step.plan.phase):
            document = status.document(
                spec,
                step.plan,
                step.live,
                now,
                previous=tracked.status,
                generation=tracked.parsed,
                store=opened.place.store_url or "",
                conditions=condition.of_step(opened, step),
            )
            before = tracked.status
            self._publisher.publish(tracked, document)
            self._tell(tracked, news.of_phase(spec, before, document))
        self._put(key, tracked, step)
        self._schedule(key, tracked, step, now)
        return "done"

    def _tell(self, tracked: Tracked, found: Iterable[News]) -> None:
        for reason, message, warning in found:
            self._recorder.record(tracked.metadata, reason, message, warning=warning)

    def _schedule(self, key: Key, tracked: Tracked, step: Step, now: datetime) -> None:
        opened = tracked.opened
        assert opened is not None
        if tracked.parked and not step.busy and not self._leftovers(key, tracked):
            self._park(key, tracked)
            return
        if step.conflicts or opened.runner.refused:
            self._again(key, tracked)
        else:
            tracked.failures = 0
            if step.busy:
                self._queue.add(key)
        if step.plan.wake_at is not None:
            wait = max((step.plan.wake_at - now).total_seconds(), 0.0)
            self._queue.add_at(key, self._clock() + wait)
        if (due := opened.witness.due) is not None:
            self._queue.add_at(key, due)

    def _park(self, key: Key, tracked: Tracked) -> None:
        """Keep the numbers of a sweep that is over; its history is in the store, should anybody ask again."""
        self._show(key, tracked)
        tracked.opened = None
        if tracked.series is not None and tracked.series.history is not None:
            tracked.series.freeze()

    def _leftovers(self, key: Key, tracked: Tracked) -> bool:
        """Whether a sweep that is over still has Jobs other than the failed ones that are kept."""
        return any(job.exit in (None, Exit.COMPLETE) for job in self._jobs(key[0]).of(tracked.uid))

    def _confirm(self, key: Key, tracked: Tracked) -> Callable[[], bool]:
        """Asked before anything is created: whether the sweep is still there and the same."""

        def confirm() -> bool:
            try:
                document = self._kube.get(SWEEPS, *key)
            except KubeError as error:
                if error.status == 404:
                    return False
                raise
            metadata = document["metadata"]
            return metadata["uid"] == tracked.uid and "deletionTimestamp" not in metadata

        return confirm

    def _again(self, key: Key, tracked: Tracked) -> None:
        """Another pass, ever later while it keeps failing."""
        wait = min(FIRST_RETRY * 2.0 ** min(tracked.failures, 10), LONGEST_RETRY)
        tracked.failures += 1
        self._queue.retry_at(key, self._clock() + wait)

    # -- the series

    def _put(self, key: Key, tracked: Tracked, step: Step) -> None:
        spec = tracked.spec
        assert spec is not None
        series = Series(
            *key,
            strategy=spec.strategy.kind,
            objective=spec.objective,
            replicates=spec.seeds,
            status=tracked.status,
            history=step.plan.history,
            live=step.live,
        )
        with self._lock:
            if self._tracked.get(key) is tracked:
                tracked.series = series.after(tracked.series)
                self._registry.put(series)

    def _show(self, key: Key, tracked: Tracked) -> None:
        """The series of a sweep that ended before this process began: what its status tells."""
        if tracked.series is not None:
            return
        spec = tracked.document["spec"]
        metric, goal = (spec["objectives"][0][field] for field in ("metric", "goal"))
        objective = Objective(metric, goal == "maximize")
        series = Series(*key, next(iter(spec["strategy"])), objective, 1, tracked.status)
        with self._lock:
            if self._tracked.get(key) is tracked:
                tracked.series = series
                self._registry.put(series)

    # -- the end

    def _gone(self, key: Key, tracked: Tracked) -> None:
        with self._lock:
            if self._tracked.get(key) is tracked:
                log.info("%s/%s: gone", *key)
                self._forget(key)

    def _forget(self, key: Key) -> None:
        """Nothing else is to do: what a sweep owns is collected with it."""
        if self._tracked.pop(key, None) is not None:
            self._registry.drop(*key)
