"""Whether the best of a sweep lies at an end of a range, beyond which there may be better values.

After the Deep Learning Tuning Playbook (Godbole et al., 2023): such a range has to be widened.
"""

import math
from collections.abc import Iterator
from enum import StrEnum

from hypersweep import builtin, strategy
from hypersweep.api import SweepSpec
from hypersweep.journal import History
from hypersweep.space import Case, Choice, Float, Int, Parameter, largest, size
from hypersweep.trial import Objective, Status, Trial

SHARE = 0.05  # of a range, on its scale, from which on a value lies at its end
VALUES = 3  # that must have been tried, so that some lie between the ends
DRAWS = 10  # so many at random, for they lie a tenth of the range apart


class Edge(StrEnum):
    LOWER = "lower"
    UPPER = "upper"


def found(spec: SweepSpec, history: History) -> list[str]:
    """A sentence for each parameter whose best value lies at an end of its range; few trials tell nothing."""
    best = strategy.best(spec, history)
    if best is None:
        return []
    return [text for parameter in spec.space.parameters if (text := _told(spec, history, parameter, best))]


def edge(domain: Float | Int, value: float) -> Edge | None:
    """The end of a range at which a value lies, on the range's own scale."""
    low, high = domain.min, largest(domain)
    if low >= high:
        return None
    if domain.scale == "log":
        place = math.log(value / low) / math.log(high / low)
    else:
        place = (value - low) / (high - low)
    if place > 0.5:
        return Edge.UPPER if place >= 1 - SHARE else None
    return Edge.LOWER if place <= SHARE else None


def _told(spec: SweepSpec, history: History, parameter: Parameter, best: Trial) -> str:
    case = parameter.case(best.suggestion.parameters)
    value = best.suggestion.parameters.get(parameter.name)
    if case is None or isinstance(case.domain, Choice) or not isinstance(value, int | float):
        return ""
    at = edge(case.domain, value)
    if at is None or _is_hard(spec, parameter.name, case.domain, at):
        return ""
    tried = list(_tried(history, parameter, case))
    if not _are_enough(spec, case.domain, at, value, {number for number, _ in tried}):
        return ""
    within = [trial for number, trial in tried if edge(case.domain, number) is not at]
    if any(_equals(spec.objective, trial, best) for trial in within):
        return ""
    low, high = f"{case.domain.min:.6g}", f"{case.domain.max:.6g}"
    return f"best {parameter.name} {value:.4g} lies at the {at} end of {low} to {high}: widen it"


def _is_hard(spec: SweepSpec, name: str, domain: Float | Int, at: Edge) -> bool:
    """Whether an option of the built-in trainer can have no value beyond this end."""
    low, high = builtin.bounds(spec, name)
    return domain.min <= low if at is Edge.LOWER else domain.max >= high


def _tried(history: History, parameter: Parameter, case: Case) -> Iterator[tuple[float, Trial]]:
    """The trials that came to an end in the same branch, feasible or not, each with its value there."""
    for trial in history.trials.values():
        values = trial.suggestion.parameters
        if trial.status in (Status.DONE, Status.INFEASIBLE) and parameter.case(values) is case:
            value = values[parameter.name]
            assert isinstance(value, int | float)
            yield value, trial


def _are_enough(spec: SweepSpec, domain: Float | Int, at: Edge, best: float, tried: set[float]) -> bool:
    """Whether these values can tell; of some that are not drawn, the best must be the outermost one."""
    if len(tried) < VALUES:
        return False
    if spec.strategy.kind == "random":
        return len(tried) >= min(DRAWS, size(domain) or DRAWS)
    return best == (min(tried) if at is Edge.LOWER else max(tried))


def _equals(objective: Objective, trial: Trial, best: Trial) -> bool:
    """Whether a run came as far as the best one: what lies within the range is then no worse."""
    if trial.status is not Status.DONE:
        return False
    return objective.gain(trial.metrics[objective.metric], best.metrics[objective.metric]) >= 0
