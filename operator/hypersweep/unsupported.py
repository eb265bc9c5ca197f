"""Fields of the manifest that are named, but refused: not built yet. Building one takes its line away."""

from collections.abc import Iterator, Mapping
from typing import Any

WORDS = "not supported yet"

UNSUPPORTED = (
    "objectives[1]",
    "constraints",
    "strategy.sobol",
    "strategy.bayesian",
    "strategy.iterative.stages[].search.list",
    "strategy.iterative.stages[].search.sobol",
    "strategy.iterative.stages[].search.bayesian",
    "strategy.iterative.stages[].data",
    "strategy.iterative.stages[].epochs",
    "strategy.iterative.widen",
    "strategy.iterative.preferCheaper",
    "strategy.iterative.passes",
    "strategy.iterative.final.top",
    "strategy.iterative.final.refit",
    "earlyStopping",
    "reuse",
    "approve",
    "retry",
    "trial.queue",
    "trial.expectedTime",
    "store.keep",
)


def found(spec: Mapping[str, Any]) -> Iterator[str]:
    """The paths, below spec, of what a manifest gives of these."""
    for path in UNSUPPORTED:
        yield from _walk(spec, path.replace("[", ".[").split("."), "")


def problems(spec: Mapping[str, Any]) -> list[str]:
    return [f"spec.{path}: {WORDS}" for path in found(spec)]


def _walk(value: Any, steps: list[str], path: str) -> Iterator[str]:
    if not steps:
        yield path.removeprefix(".")
        return
    step, *rest = steps
    if step.startswith("[") and isinstance(value, list):
        wanted = range(len(value)) if step == "[]" else range(int(step[1:-1]), len(value))
        for index in wanted:
            yield from _walk(value[index], rest, f"{path}[{index}]")
    elif isinstance(value, Mapping) and value.get(step) is not None:
        yield from _walk(value[step], rest, f"{path}.{step}")
