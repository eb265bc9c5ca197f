"""Sweeps as people read them in a terminal: what happens in sentences, what is in tables."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hypersweep import boundary, builtin, preflight, strategy
from hypersweep.api import SweepSpec
from hypersweep.journal import Decided, History
from hypersweep.reconcile import Step
from hypersweep.runner import Key, Live, Phase
from hypersweep.strategy.sentence import described, told
from hypersweep.trial import Attempt, Checks, End, Parameters, Score, Status, Suggestion, Trial, scores

FAILURES = (End.ERROR, End.CONFIG, End.TIMEOUT, End.NO_METRICS, End.LOST, End.PREEMPTED)
SHOWN = 20  # running trials before the rest is a number


def number(value: float) -> str:
    return f"{value:.4g}"


def duration(span: timedelta) -> str:
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


# -- sentences


def decision(decided: Decided) -> str:
    return f"stage {decided.stage + 1}, {decided.name}: {decided.why}"


def ends(spec: SweepSpec, before: History, after: History) -> Iterator[tuple[str, bool]]:
    """A sentence for each attempt that ended in between, and whether it tells of trouble."""
    for n in sorted({*before.unfinished, *range(before.launched, after.launched)}):
        known = sum(a.end is not None for a in before.trials[n].attempts) if n in before.trials else 0
        trial = after.trials[n]
        for attempt in trial.attempts[known:]:
            if attempt.end is not None:
                yield _ended(spec, trial, attempt), attempt.end in FAILURES


def _ended(spec: SweepSpec, trial: Trial, attempt: Attempt) -> str:
    name = f"trial {trial.number}" + (f", attempt {attempt.number}" if attempt.number else "")
    took = f" in {duration(attempt.ended - attempt.launched)}" if attempt.ended else ""
    match attempt.end:
        case End.DONE:
            outcome = f"{spec.objective.metric} {number(trial.metrics[spec.objective.metric])}{took}"
        case End.INFEASIBLE:
            outcome = f"infeasible{took}: {attempt.reason}"
        case End.SUSPENDED | End.STOPPED:
            return f"{name}: stopped, its state is kept"
        case _:
            again = "" if trial.finished and attempt is trial.last else "; it is tried again"
            return f"{name}: {attempt.end}{took}: {attempt.reason}{again}"
    return f"{name}: {outcome}  ({parameters(spec, trial.suggestion)})"


def parameters(spec: SweepSpec, suggestion: Suggestion) -> str:
    """A configuration, what its stage compares first."""
    names = list(suggestion.parameters)
    iterative, slot = spec.strategy.iterative, suggestion.slot
    if iterative is not None and slot is not None and slot.stage < len(iterative.stages):
        stage = iterative.stages[slot.stage]
        first = [*stage.parameters, *stage.retune]
        names = [*first, *(name for name in names if name not in first)]
    seed = f", seed {suggestion.replicate}" if spec.seeds > 1 or suggestion.replicate else ""
    return described(suggestion.parameters, names) + seed


def checked(checks: Checks | None) -> Iterator[tuple[str, bool]]:
    """A sentence for each check that was not passed, and whether it failed."""
    if checks is not None:
        yield from ((f"check failed: {sentence}", True) for sentence in checks.failed)
        yield from ((f"hint: {sentence}", False) for sentence in checks.hints)


def conclusion(spec: SweepSpec, history: History, over: bool, since: History | None = None) -> list[str]:
    """What a sweep is and has found, in a few lines; once it is over, also which ranges were too small.

    What checks found `since` then is left out: it was told at once.
    """
    checks = preflight.found(history)
    told = since is not None and preflight.found(since) != checks
    ends = boundary.found(spec, history) if over else []
    sentences = [] if told else [sentence for sentence, _ in checked(checks)]
    return [*builtin.presets(spec), *sentences, *_found(spec, history), *ends]


def _found(spec: SweepSpec, history: History) -> list[str]:
    found = strategy.chosen(spec, history)
    if not history.counts.get(Status.DONE):
        return ["best: none, for no trial came to a result"]
    if found is None:
        return [f"best: {best(spec, history) or f'none, for no configuration ran on all {spec.seeds} seeds'}"]
    lines = [f"chosen: {_all(found['parameters'])}"]
    if found.get("gain") is not None:
        metric, start, mean = spec.objective.metric, found["startMean"], found["mean"]
        lines.append(f"on {found['n']} fresh seeds: {metric} {number(mean)}, at the start {number(start)}")
        lines.append(f"gain over the start: {_gain(found)}")
    return lines


def _gain(found: Mapping[str, Any]) -> str:
    text = f"{found['gain']:+.4g}"
    if found.get("interval"):
        error, low, high = (told(n, found["mean"]) for n in (found["standardError"], *found["interval"]))
        text += f" ± {error:.2g}, {found['level']:.0%} interval {low:+.4g} to {high:+.4g}"
    return text


def _all(values: Parameters) -> str:
    return described(values, list(values))


def score(spec: SweepSpec, found: Score) -> str:
    error = "" if found.standard_error is None else f" ± {told(found.standard_error, found.mean):.2g}"
    return f"{spec.objective.metric} {number(found.mean)}{error}" + (f" (n={found.n})" if found.n > 1 else "")


def best(spec: SweepSpec, history: History) -> str:
    """The best that a sweep has so far: its incumbent, or the highest mean."""
    found = scores(history.trials.values(), spec.objective, spec.seeds)
    return f"{score(spec, found[0])}: {_all(found[0].parameters)}" if found else ""


def progress(spec: SweepSpec, history: History) -> str:
    """How far a sweep is: stage, trials, failures."""
    total = strategy.planned(spec, history)
    parts = [f"{sum(history.counts.values())}/{'?' if total is None else total} trials"]
    iterative = spec.strategy.iterative
    if iterative is not None and history.launched:
        slot = history.trials[history.launched - 1].suggestion.slot
        if slot is not None and slot.stage < len(iterative.stages):
            names = ", ".join(iterative.stages[slot.stage].parameters)
            parts.insert(0, f"stage {slot.stage + 1}/{len(iterative.stages)} {names}")
        elif slot is not None:
            parts.insert(0, "fresh seeds")
    for status in (Status.FAILED, Status.INFEASIBLE):
        if count := history.counts.get(status):
            parts.append(f"{count} {status.value.lower()}")
    return " · ".join(parts)


# -- tables


def picture(
    name: str, spec: SweepSpec, step: Step, now: datetime, began: datetime, said: Callable[[Key], str]
) -> RenderableType:
    """A sweep at this moment."""
    history = step.plan.history
    total = strategy.planned(spec, history)
    head = Table.grid(expand=True, padding=(0, 1))
    head.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    head.add_column(justify="right", no_wrap=True)
    title = Text.assemble((name, "bold"), f" · {progress(spec, history)}")
    head.add_row(title, duration(now - began))
    finished = sum(history.counts.values())
    parts: list[RenderableType] = [Text(), head, ProgressBar(total=total, completed=finished)]
    if found := best(spec, history):
        parts.append(Text(f"best {found}", no_wrap=True, overflow="ellipsis"))
    return Group(*parts, running(spec, history, step.live, now, said))


def running(
    spec: SweepSpec, history: History, live: Mapping[Key, Live], now: datetime, said: Callable[[Key], str]
) -> RenderableType:
    """The attempts that are alive: step, metric, the last that each printed, what it tries."""
    alive = [
        attempt
        for key, attempt in sorted(live.items())
        if attempt.phase in (Phase.PENDING, Phase.RUNNING, Phase.STOPPING) and key[0] in history.trials
    ]
    if not alive:
        return Text()
    metric = spec.objective.metric
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column(metric, justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("tries", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("says", ratio=2, no_wrap=True, overflow="ellipsis", style="dim")
    for attempt in alive[:SHOWN]:
        value = attempt.progress.get(metric)
        table.add_row(
            f"{attempt.trial}" + (f".{attempt.attempt}" if attempt.attempt else ""),
            "" if attempt.step is None else str(attempt.step),
            "" if value is None else number(value),
            duration(now - attempt.started) if attempt.started else "",
            Text(parameters(spec, history.trials[attempt.trial].suggestion)),
            Text(said(attempt.key) if attempt.phase is not Phase.STOPPING else "stopping"),
        )
    if len(alive) > SHOWN:
        table.add_row("", "", "", "", f"and {len(alive) - SHOWN} more")
    return table


def trials(spec: SweepSpec, history: History) -> Table:
    """Every trial of a sweep."""
    metric = spec.objective.metric
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("trial", justify="right")
    table.add_column("status", no_wrap=True)
    table.add_column("attempts", justify="right")
    table.add_column(metric, justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("configuration", overflow="fold")
    for trial in history.trials.values():
        value, last = trial.metrics.get(metric), trial.last
        table.add_row(
            str(trial.number),
            trial.status.value,
            str(len(trial.attempts)),
            "" if value is None else number(value),
            duration(last.ended - last.launched) if last.ended else "",
            Text(parameters(spec, trial.suggestion) + (f": {last.reason}" if last.reason else "")),
        )
    return table
