"""A trial's own word on how it went: what the measured epochs add up to."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypersweep_trainer.config import Config, Goal, maximized

SENTENCE = 1024  # bytes of a text in the termination message, which must stay whole
REASON = 4096  # characters of one in `result.json`, which has a limit, too


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    config: Config  # as the data and `auto` made it
    status: str  # done | infeasible | stopped
    step: int = 0
    rows: Sequence[Mapping[str, Any]] = ()  # of each measured epoch: step, epoch, time, metrics
    reason: str = ""
    resumed_from: int | None = None  # the step of the checkpoint that the run went on from, in its stage
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
        "reason": outcome.reason[:REASON],
        "metrics": found,
        "steps": outcome.step,
        "resumedFrom": outcome.resumed_from,
        "checks": outcome.checks,
        "resolved": {**config.resolved, "seed": config.seed, "fraction": config.fraction},
    }


def message(outcome: Outcome) -> dict[str, Any]:
    """The termination message: a flat object of numbers, all that is known of a trial without a store."""
    found: dict[str, Any] = {}
    if outcome.checks:  # an empty text says that all is well
        found["checks"] = _short(failed(outcome.checks))
    if outcome.config.automatic:
        found["resolved"] = outcome.config.automatic
    if outcome.status == "done":
        return {**{name: entry["value"] for name, entry in document(outcome)["metrics"].items()}, **found}
    goals = [goal.metric for goal in outcome.config.goals] or ["train_loss"]
    return {**dict.fromkeys(goals, "nan"), "reason": _short(outcome.reason), **found}  # JSON has no NaN


def failed(verdicts: Mapping[str, Mapping[str, Any]]) -> str:
    """The sentences of the checks that failed; empty when none did."""
    return "; ".join(
        f"{name}: {verdict['words']}" for name, verdict in verdicts.items() if verdict["verdict"] == "fail"
    )


def _short(text: str) -> str:
    """As much of a text as SENTENCE bytes of JSON hold, where a letter may take twelve."""
    while len(json.dumps(text)) > SENTENCE:
        text = text[: len(text) * SENTENCE // len(json.dumps(text))]
    return text


def rungs(config: Config, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The first objective's value as it was after each rung that these epochs have reached, by its epoch."""
    reached = (epoch for epoch in config.rungs if epoch <= len(rows))
    return {str(epoch): summary(config.monitor, rows[:epoch], config)["value"] for epoch in reached}


def reading(values: Sequence[float], goal: Goal) -> float:
    """What an objective's `at` asks for of a metric's values so far, the latest one last."""
    kind, _, count = goal.at.partition(":")
    match kind:
        case "best":
            return (max if goal.maximize else min)(values)
        case "mean":
            return math.fsum(values[-int(count) :]) / len(values[-int(count) :])
    return values[-1]


def summary(name: str, rows: Sequence[Mapping[str, Any]], config: Config) -> dict[str, Any]:
    """One metric over the epochs; `value` is what the objective's `at` asks for, else the last."""
    steps, values = zip(
        *((row["step"], row["metrics"][name]) for row in rows if name in row["metrics"]), strict=True
    )
    goal = next((goal for goal in config.goals if goal.metric == name), Goal(name, maximized(name)))
    best = (max if goal.maximize else min)(values)
    once = [row["metrics"][name] for row in rows if name in row["metrics"] and "again" not in row]
    value = reading(values if goal.at == "last" else once, goal)
    at = values.index(best)
    epochs = [row["epoch"] for row in rows if name in row["metrics"]]
    return {
        "last": values[-1], "best": best, "bestStep": steps[at], "bestEpoch": epochs[at], "value": value,
    }  # fmt: skip
