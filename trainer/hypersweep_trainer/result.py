"""A trial's own word on how it went: what the measured epochs add up to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypersweep_trainer.config import Config, maximized

SENTENCE = 1024  # characters of a text in the termination message, which must stay whole


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    config: Config  # as the data and `auto` made it
    status: str  # done | infeasible | stopped
    step: int = 0
    rows: Sequence[Mapping[str, Any]] = ()  # of each measured epoch: step, epoch, time, metrics
    reason: str = ""
    resumed_from: int | None = None  # the step of the checkpoint that the run went on from
    saved: bool = False  # of a stopped run: whether a checkpoint holds it
    checks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    errors: Mapping[str, float] = field(
        default_factory=dict
    )  # of the last metrics, from sampling validation rows
    model: Mapping[str, bytes] = field(default_factory=dict)  # files of the trained model


def document(outcome: Outcome) -> dict[str, Any]:
    """`result.json`."""
    config = outcome.config
    names = list(dict.fromkeys(name for row in outcome.rows for name in row["metrics"]))
    found = {name: summary(name, outcome.rows, config) for name in names}
    for name, error in outcome.errors.items():
        found[name]["standardError"] = error
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "metrics": found,
        "steps": outcome.step,
        "resumedFrom": outcome.resumed_from,
        "checks": outcome.checks,
        "resolved": {**config.resolved, "seed": config.seed, "fraction": config.fraction},
    }


def failure(config: Config, reason: str) -> dict[str, Any]:
    """`result.json` of an attempt that an error ended."""
    return document(Outcome(config, "failed", reason=reason))


def message(outcome: Outcome) -> dict[str, Any]:
    """The termination message: a flat object of numbers, all that is known of a trial without a store."""
    found: dict[str, Any] = {}
    if outcome.checks:  # an empty text says that all is well
        failed = (
            f"{name}: {entry['words']}"
            for name, entry in outcome.checks.items()
            if entry["verdict"] == "fail"
        )
        found["checks"] = "; ".join(failed)[:SENTENCE]
    if outcome.config.automatic:
        found["resolved"] = outcome.config.automatic
    if outcome.status == "done":
        return {**{name: entry["value"] for name, entry in document(outcome)["metrics"].items()}, **found}
    goals = [goal.metric for goal in outcome.config.goals] or ["train_loss"]
    return {**dict.fromkeys(goals, "nan"), "reason": outcome.reason[:SENTENCE], **found}  # JSON has no NaN


def summary(name: str, rows: Sequence[Mapping[str, Any]], config: Config) -> dict[str, Any]:
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
            once = [row["metrics"][name] for row in rows if name in row["metrics"] and "again" not in row]
            value = math.fsum(once[-int(count) :]) / len(once[-int(count) :])
        case _:
            value = values[-1]
    at = values.index(best)
    epochs = [row["epoch"] for row in rows if name in row["metrics"]]
    return {
        "last": values[-1], "best": best, "bestStep": steps[at], "bestEpoch": epochs[at], "value": value,
    }  # fmt: skip
