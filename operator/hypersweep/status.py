"""The status document of a sweep: a report, bounded at any number of trials."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hypersweep import boundary, builtin, preflight, strategy
from hypersweep.api import SweepSpec
from hypersweep.goal import SweepPhase
from hypersweep.journal import History
from hypersweep.plan import Plan
from hypersweep.runner import Key, Live, Phase
from hypersweep.trial import Status, Trial, scores

BEST = 10
RANGES = 2048  # characters of an index range list before it is cut
TEXT = 1024  # characters of one message
PRETRAINED = "PretrainedAvailable"
RANGES_SUFFICE = "RangesSuffice"


@dataclass(frozen=True)
class Condition:
    type: str
    status: bool | None  # None: unknown
    reason: str
    message: str = ""


def document(
    spec: SweepSpec,
    plan: Plan,
    live: Mapping[Key, Live],
    now: datetime,
    *,
    previous: Mapping[str, Any],
    generation: int,
    store: str = "",
    conditions: Sequence[Condition] = (),
) -> dict[str, Any]:
    """The whole status; `conditions` are the shell's own, beside those that follow from the plan."""
    history = plan.history
    objective = spec.objective
    trials = list(history.trials.values())
    best = scores(trials, objective, spec.seeds)
    phases = [live[key].phase for key in live if _current(plan, key)]
    total = strategy.planned(spec, history)
    counts = {
        "launched": history.launched,
        "done": history.counts.get(Status.DONE, 0),
        "running": sum(phase in (Phase.RUNNING, Phase.STOPPING) for phase in phases),
        "pending": sum(phase in (Phase.PENDING, Phase.GONE) for phase in phases),
        "waiting": sum(trial.status is Status.WAITING for trial in _unfinished(plan)),
        "failed": history.counts.get(Status.FAILED, 0),
        "infeasible": history.counts.get(Status.INFEASIBLE, 0),
        "stopped": history.counts.get(Status.STOPPED, 0),
    }
    finished = sum(history.counts.values())
    decision = history.decisions[-1] if history.decisions else None
    chosen = strategy.chosen(spec, history)
    phase = plan.phase if plan.phase is not SweepPhase.RUNNING or history.launched else SweepPhase.PENDING
    ended = now if phase.terminal else None
    message = (plan.message or _unstarted(plan, live))[:TEXT]
    result: dict[str, Any] = {
        "observedGeneration": generation,
        "phase": phase.value,
        "reason": plan.reason,
        "message": message,
        "strategy": spec.strategy.kind,
        "progress": f"{finished}/{'?' if total is None else total}",
        "trials": {"total": total, **counts},
        "restarts": _restarts(trials),
        "replicas": counts["running"] + counts["pending"],
        "completed": ranges(t.number for t in trials if t.status is Status.DONE),
        "failedTrials": ranges(t.number for t in trials if t.status is Status.FAILED),
        "gpuSeconds": round(history.gpu_seconds, 3),
        "startedAt": history.opened.at.isoformat() if history.opened else None,
        "finishedAt": (previous.get("finishedAt") or ended.isoformat()) if ended else None,
        "store": store or None,
        "preset": "; ".join(builtin.presets(spec))[:TEXT] or None,
        "best": [
            {
                "trials": list(score.trials[:20]),
                "value": score.mean,
                "standardError": score.standard_error,
                "replicates": score.n,
                "parameters": dict(score.parameters),
            }
            for score in best[:BEST]
        ],
        "bestValue": f"{best[0].mean:.6g}" if best else None,
        "lastDecision": decision
        and {
            "stage": decision.name,
            "why": decision.why[:TEXT],
            "adopted": decision.adopted,
            "parameters": dict(decision.parameters),
        },
        "chosen": chosen,
    }
    found = [*_conditions(plan, phase, message), *_ranges(spec, plan), *conditions]
    result["conditions"] = merge(previous.get("conditions") or (), found, generation, now)
    return _shrunk({name: _plain(value) for name, value in result.items() if value is not None})


def _restarts(trials: Iterable[Trial]) -> dict[str, int]:
    """How many attempts another one replaced, by how they ended."""
    ends = Counter(attempt.end for trial in trials for attempt in trial.attempts[:-1])
    return {end.value: count for end, count in sorted(ends.items()) if end is not None}


def _current(plan: Plan, key: Key) -> bool:
    trial = plan.history.trials.get(key[0])
    return trial is not None and trial.last.number == key[1] and trial.last.end is None


def _unfinished(plan: Plan) -> list[Trial]:
    return [plan.history.trials[number] for number in plan.history.unfinished]


def _unstarted(plan: Plan, live: Mapping[Key, Live]) -> str:
    """Why the first attempt that should run does not, where its world says so."""
    pending = [
        seen for key, seen in sorted(live.items()) if _current(plan, key) and seen.phase is Phase.PENDING
    ]
    return next((f"trial {seen.trial} does not start: {seen.cause}" for seen in pending if seen.cause), "")


def _failures(history: History) -> Condition:
    failed = [trial for trial in history.trials.values() if trial.status is Status.FAILED]
    if not failed:
        return Condition("Degraded", False, "NoFailures")
    message = f"{len(failed)} trial{'s' * (len(failed) > 1)} failed"
    why = failed[-1].last.reason
    return Condition(
        "Degraded", True, "TrialsFailed", f"{message}, the last one by {why}" if why else message
    )


def _checked(history: History) -> Iterator[Condition]:
    """What the checks of the first trial said, once they did."""
    checks = preflight.found(history)
    if checks is None:
        return
    message = "; ".join((*checks.failed, *checks.hints))
    if checks.failed:
        yield Condition("Checked", False, preflight.FAILED, message)
        return
    passed = f"{checks.passed} passed" if checks.passed else ""
    yield Condition("Checked", True, "ChecksHint" if checks.hints else "ChecksPassed", message or passed)


def _pretrained(history: History) -> Iterator[Condition]:
    """From which models of other sweeps the trials start, if from any."""
    if history.opened is not None and history.opened.models:
        found = ", ".join(f"{text} is {url}" for text, url in history.opened.models.items())
        yield Condition(PRETRAINED, True, "Found", found)


def _ranges(spec: SweepSpec, plan: Plan) -> Iterator[Condition]:
    """Which ranges were too small, once the sweep is over."""
    if plan.phase.terminal and (found := boundary.found(spec, plan.history)):
        yield Condition(RANGES_SUFFICE, False, "BestAtEnd", "; ".join(found))


def _conditions(plan: Plan, phase: SweepPhase, progress: str) -> list[Condition]:
    message = plan.message
    succeeded, broken = phase is SweepPhase.SUCCEEDED, phase is SweepPhase.FAILED
    return [
        Condition("SpecValid", True, "Valid"),
        Condition("Progressing", phase in (SweepPhase.RUNNING, SweepPhase.PENDING), plan.reason, progress),
        Condition("Suspended", phase is SweepPhase.SUSPENDED, plan.reason, message),
        _failures(plan.history),
        *_checked(plan.history),
        *_pretrained(plan.history),
        Condition("Succeeded", succeeded, plan.reason, message),
        Condition("Failed", broken, plan.reason, message),
    ]


def merge(
    previous: Iterable[Mapping[str, Any]], conditions: Iterable[Condition], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Conditions as documents: the transition time moves only when the status flips."""
    before = {condition["type"]: condition for condition in previous}
    merged = {}
    for condition in conditions:
        status = "Unknown" if condition.status is None else str(condition.status)
        old = before.get(condition.type, {})
        since = old.get("lastTransitionTime") if old.get("status") == status else None
        merged[condition.type] = {
            "type": condition.type,
            "status": status,
            "reason": condition.reason or "Unknown",
            "message": condition.message[:TEXT],
            "observedGeneration": generation,
            "lastTransitionTime": since or now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
    return list(merged.values())


def ranges(numbers: Iterable[int]) -> str:
    """`0-17,19`: as a Job's completedIndexes; a very long one is cut with `…`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    text = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
    return text if len(text) <= RANGES else text[: text.rindex(",", 0, RANGES)] + ",…"


def _plain(value: Any) -> Any:
    """Tuples as lists, recursively: what a JSON document holds."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


LIMIT = 15 * 1024


def _shrunk(status: dict[str, Any]) -> dict[str, Any]:
    """Drop the worst of the best until the document is small: long choice values can make it large."""
    while len(repr(status)) > LIMIT and len(status["best"]) > 1:
        status = status | {"best": status["best"][:-1]}
    return status
