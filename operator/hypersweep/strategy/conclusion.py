"""The last comparison: the chosen configuration with the start, on seeds that nothing was chosen by."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import fmean
from typing import Any

from hypersweep.journal import Decided, History
from hypersweep.strategy import sentence
from hypersweep.strategy.decision import contenders, cost
from hypersweep.strategy.judge import LEVEL, interval
from hypersweep.strategy.position import Kind, Position, plain, same
from hypersweep.strategy.rounds import Cell
from hypersweep.trial import Slot, Trial, standard_error


def concluded(
    at: Position, history: History, now: datetime, cells: Sequence[Cell], trials: Mapping[Slot, Trial]
) -> Decided:
    """The gain over the start with its interval; it changes nothing."""
    objective = at.spec.objective
    chosen, start = contenders(cells, trials)
    ours, theirs = chosen.values(objective.metric), start.values(objective.metric)
    shared = [objective.gain(ours[r], theirs[r]) for r in ours if r in theirs]
    gain = fmean(shared) if len(shared) > 1 else None
    error = standard_error(shared)
    between = None if gain is None or error is None else interval(gain, error, len(shared) - 1)
    numbers: dict[str, Any] = {
        "metric": objective.metric,
        "goal": "maximize" if objective.maximize else "minimize",
        "mean": fmean(ours.values()) if ours else None,
        "startMean": fmean(theirs.values()) if theirs else None,
        "start": plain(start.parameters),
        "unchanged": same(chosen.parameters, start.parameters),
        "gain": gain,  # positive where the chosen one is better, whatever the goal
        "standardError": error,
        "interval": between and list(between),
        "level": LEVEL,
        "n": len(shared),
        "replicates": sorted({cell.slot.replicate for cell in cells}),
        "trials": sorted({trial.number for trial in trials.values()}),
        **cost(history, at.stage),
    }
    return Decided(
        at=now,
        stage=at.stage,
        name=at.name,
        kind=Kind.FINAL.value,
        round=at.round,
        parameters=dict(at.incumbent),
        adopted=False,
        why=sentence.concluded(objective, at.incumbent, numbers),
        numbers=numbers,
    )
