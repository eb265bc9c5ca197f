"""Search on the first seed, then the best few on the others: what list, grid and random have in common."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from hypersweep import automatic
from hypersweep.api import SweepSpec
from hypersweep.journal import History
from hypersweep.space import Value
from hypersweep.strategy import draws, grid, listed
from hypersweep.strategy.finish import COMPLETED, SPACE_EXHAUSTED, Finish
from hypersweep.trial import Status, Suggestion, Trial, replicate_seed, scores

FINALISTS = 4  # so many of the best run the remaining replicates

Points = Callable[[SweepSpec, History, int], Iterator[tuple[int, dict[str, Value]]]]


@dataclass(frozen=True)
class Order:
    """Configurations in an order of their own: which come from an index on, and how many there are."""

    points: Points
    size: Callable[[SweepSpec], int | None]


ORDERS: Mapping[str, Order] = {
    "list": Order(listed.points, listed.size),
    "grid": Order(grid.points, grid.size),
    "random": Order(draws.points, draws.size),
}


@dataclass(frozen=True)
class _Search:
    """How far the search on the first seed has come."""

    searched: int  # configurations launched
    size: int | None  # configurations there are; None: no end of them
    limit: int | None  # of them, how many may be launched

    @property
    def open(self) -> bool:
        return self.limit is None or self.searched < self.limit


def suggest(spec: SweepSpec, history: History, count: int) -> list[Suggestion]:
    """The next configurations of the order; once all of them have ended, the best few on further seeds."""
    return automatic.ready(spec, history, _suggest(spec, history, count, _search(spec, history)))


def ended(spec: SweepSpec, history: History) -> Finish | None:
    if history.unfinished:
        return None
    search = _search(spec, history)
    if _suggest(spec, history, 1, search):
        return None
    every = "the only trial ran" if history.launched == 1 else f"all {history.launched} trials ran"
    if spec.strategy.kind == "random" and (search.open or search.searched == search.size):
        return Finish(SPACE_EXHAUSTED, f"{every}: the space has no further configuration")
    return Finish(COMPLETED, every)


def planned(spec: SweepSpec, history: History) -> int | None:
    """How many trials there will be; None where only a budget ends the search."""
    search, most = _search(spec, history), spec.max_trials
    if search.limit is None:
        return None
    searches = max(search.limit, search.searched)
    total = searches + min(_finalists(spec), searches) * (spec.seeds - 1)
    return total if most is None else min(total, max(most, history.launched))


def winners(spec: SweepSpec, history: History) -> list[Trial]:
    """The runs of the best configuration, once one has run on all seeds."""
    found = scores(history.trials.values(), spec.objective, spec.seeds)
    return [history.trials[number] for number in found[0].trials] if found else []


def _suggest(spec: SweepSpec, history: History, count: int, search: _Search) -> list[Suggestion]:
    found = _searches(spec, history, count, search)
    if found or any(not _is_replicate(history.trials[number]) for number in history.unfinished):
        return found
    return _replicates(spec, history)[:count]


def _searches(spec: SweepSpec, history: History, count: int, search: _Search) -> list[Suggestion]:
    if not search.open:
        return []
    wanted = count if search.limit is None else min(search.limit - search.searched, count)
    seed = replicate_seed(spec.seed, 0)
    points = ORDERS[spec.strategy.kind].points(spec, history, _next(history))
    return [Suggestion(values, seed, draw=draw) for draw, values in islice(points, wanted)]


def _search(spec: SweepSpec, history: History) -> _Search:
    size = ORDERS[spec.strategy.kind].size(spec)
    replicates = sum(map(_is_replicate, history.trials.values())) if spec.seeds > 1 else 0
    searched = history.launched - replicates
    if spec.max_trials is None:
        return _Search(searched, size, size)
    # `maxTrials` leaves room for the finalists' replicates; those that ran already count besides,
    # for it may have been raised after them
    most = max(spec.max_trials - _finalists(spec) * (spec.seeds - 1) - replicates, 1)
    return _Search(searched, size, most if size is None else min(size, most))


def _finalists(spec: SweepSpec) -> int:
    """How many configurations run the remaining replicates: fewer when `maxTrials` is tight.

    The search keeps at least twice as many trials as there are finalists, or there would be nothing to pick.
    """
    if spec.max_trials is None:
        return FINALISTS
    return min(FINALISTS, max(spec.max_trials // (spec.seeds + 1), 1))


def _is_replicate(trial: Trial) -> bool:
    return trial.suggestion.replicate > 0


def _next(history: History) -> int:
    """The index after the last one drawn: trials are numbered in the order of their draws."""
    for number in reversed(range(history.launched)):
        suggestion = history.trials[number].suggestion
        if suggestion.replicate == 0:
            assert suggestion.draw is not None
            return suggestion.draw + 1
    return 0


def _replicates(spec: SweepSpec, history: History) -> list[Suggestion]:
    """What the best few have yet to run on the remaining seeds, replicate by replicate."""
    if spec.seeds == 1:
        return []
    objective = spec.objective
    found = [t for t in history.trials.values() if t.status is Status.DONE and not _is_replicate(t)]
    best = sorted(found, key=lambda t: (-objective.gain(t.metrics[objective.metric]), t.number))
    finalists = [trial.suggestion for trial in best[: _finalists(spec)]]
    launched = {(t.suggestion.draw, t.suggestion.replicate) for t in history.trials.values()}
    return [
        Suggestion(one.parameters, replicate_seed(spec.seed, replicate), replicate, draw=one.draw)
        for replicate in range(1, spec.seeds)
        for one in finalists
        if (one.draw, replicate) not in launched
    ]
