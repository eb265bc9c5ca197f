"""How many trials an iterative sweep will launch: what is not known yet at its most."""

from hypersweep.journal import History
from hypersweep.strategy.position import CHALLENGERS, TOGETHER, Kind, Position, cells
from hypersweep.strategy.rounds import fill, missing
from hypersweep.strategy.stage import FINE, arms, coarse, coarse_points, refined


def forecast(at: Position, history: History) -> int:
    """Launched, missing in the open round, and what later rounds and stages launch at most."""
    if at.over:
        return history.launched
    opened = cells(at)
    total = history.launched + len(missing(opened, fill(history, opened)))
    if at.final:
        return total
    kind = None if at.opening is None else Kind(at.opening.kind)
    total += _stage(at, at.stage, kind) if opened else 0
    later = range(at.stage + 1, len(at.stages))
    total += sum(_first(at, index) + _stage(at, index, None) for index in later)
    if at.since is None and not opened:  # the start has yet to run at all
        total += at.spec.seeds
    return total + 2 * at.fresh_seeds


def _first(at: Position, index: int) -> int:
    """What the first round of a stage launches, its arms seen from where the incumbent is now."""
    stage = at.stages[index]
    found = arms(at.space, stage, at.incumbent, at.seed)
    if not stage.retune:
        return len(found) * (at.spec.seeds if len(found) < TOGETHER else 1)
    points = coarse_points(at.space, stage.retune, found)
    return sum(len(coarse(at.space, arm, points, at.seed)) for arm in found)


def _stage(at: Position, index: int, opening: Kind | None) -> int:
    """What the rounds of a stage launch after the one that this decision opened."""
    stage = at.stages[index]
    found = arms(at.space, stage, at.incumbent, at.seed)
    if opening is Kind.SHORTLIST or (not stage.retune and len(found) < TOGETHER):
        return 0
    own = 1 if at.since is None and index == at.stage else 0  # later stages find the incumbent's runs done
    compared = (min(len(found), CHALLENGERS) + own) * (at.spec.seeds - 1)
    if not stage.retune or opening is Kind.REFINE:
        return compared
    points = coarse_points(at.space, stage.retune, found)
    return compared + sum((FINE - 1) * len(refined(at.space, arm, points)) for arm in found)
