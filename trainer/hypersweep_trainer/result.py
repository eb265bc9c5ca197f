"""A trial's own word on how it went: what the measured epochs add up to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypersweep_trainer.config import Config, maximized


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: str  # done | infeasible | stopped
    step: int
    rows: Sequence[Mapping[str, Any]]  # of each measured epoch: step, epoch, time, metrics
    reason: str = ""
    resumed_from: int | None = None  # the step of the checkpoint that the run went on from
    saved: bool = False  # of a stopped run: whether a checkpoint holds it


def document(outcome: Outcome, config: Config) -> dict[str, Any]:
    """`result.json`."""
    names = list(dict.fromkeys(name for row in outcome.rows for name in row["metrics"]))
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "metrics": {name: summary(name, outcome.rows, config) for name in names},
        "steps": outcome.step,
        "resumedFrom": outcome.resumed_from,
        "checks": {},
        "resolved": {**config.resolved, "seed": config.seed, "fraction": config.fraction},
    }


def message(outcome: Outcome, config: Config) -> dict[str, Any]:
    """The termination message: a flat object of numbers, all that is known of a trial without a store."""
    if outcome.status == "done":
        found = document(outcome, config)["metrics"]
        return {name: entry["value"] for name, entry in found.items()}
    goals = [goal.metric for goal in config.goals] or ["train_loss"]
    return {**dict.fromkeys(goals, "nan"), "reason": outcome.reason}  # JSON has no NaN of its own


def summary(name: str, rows: Sequence[Mapping[str, Any]], config: Config) -> dict[str, float | int]:
    """One metric over the epochs; `value` is what the objective's `at` asks for, else the last."""
    steps, values = zip(
        *((row["step"], row["metrics"][name]) for row in rows if name in row["metrics"]), strict=True
    )
    goal = next((goal for goal in config.goals if goal.metric == name), None)
    larger = goal.maximize if goal else maximized(name)
    best = (max if larger else min)(values)
    kind, _, count = goal.at.partition(":") if goal else ("last", "", "")
    match kind:
        case "best":
            value = best
        case "mean":
            value = math.fsum(values[-int(count) :]) / len(values[-int(count) :])
        case _:
            value = values[-1]
    return {"last": values[-1], "best": best, "bestStep": steps[values.index(best)], "value": value}
