"""What was decided, in a sentence that a person reads in the live table."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from hypersweep.space import Value
from hypersweep.strategy.judge import Verdict
from hypersweep.trial import Objective, Parameters

ROUNDING = 1e-12  # of a metric: smaller differences are those of arithmetic
Reached = Sequence[tuple[str, float]]  # arms by their description, and what each of them reached


def described(parameters: Parameters, names: Sequence[str]) -> str:
    """Some values of a configuration: `optimizer=sgd, lr=0.003`."""
    return ", ".join(f"{name}={_shown(parameters[name])}" for name in names if name in parameters)


def _shown(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, tuple) else str(value)


def told(value: float, metric: float) -> float:
    """A spread or difference of a metric that is about `metric`; 0 where it is none but for rounding."""
    return value if abs(value) > ROUNDING * abs(metric) else 0.0


def _against(one: Parameters, other: Parameters, names: Sequence[str]) -> str:
    """What sets a configuration apart from another one, what the stage searched first."""
    order = [*names, *(name for name in one if name not in names)]
    apart = [name for name in order if name in one and (name not in other or other[name] != one[name])]
    return described(one, apart) or described(one, names)


def unchanged(incumbent: Parameters, searched: Sequence[str]) -> str:
    """A stage without a challenger."""
    if held := described(incumbent, searched):
        return f"kept {held}: there is no other value to try"
    return f"nothing to compare: {', '.join(searched)} has no effect beside the other values"


def refining(arms: Reached, objective: Objective, retuned: Sequence[str]) -> str:
    found = "; ".join(f"{arm} ({objective.metric} {value:.4g})" for arm, value in arms)
    return f"looking closer at {', '.join(retuned)} around the best of each arm: {found}"


def shortlisted(arms: Reached, objective: Objective, of: int, replicates: int) -> str:
    found = "; ".join(f"{arm} ({objective.metric} {value:.4g})" for arm, value in arms)
    return f"best of {of} on the first seed: {found}; now {replicates} more with the incumbent"


def adopted(verdict: Verdict, objective: Objective, incumbent: Parameters, names: Sequence[str]) -> str:
    """The outcome of a stage."""
    winner, best = verdict.winner, verdict.best
    held = described(incumbent, names) or "the incumbent"
    if winner is None:
        return f"no arm came to a feasible result, {held} neither"
    if best is None:
        return f"kept {held}: no challenger came to a result that can be compared"
    ours = _against(best.parameters, incumbent, names)
    theirs = _against(incumbent, best.parameters, names) or "the incumbent"
    if verdict.unusable:
        return f"adopted {ours}: the best feasible arm, for {theirs} came to no feasible result"
    gain, error = verdict.gains[best.arm], verdict.standard_error(best.arm)
    reached = fmean(best.values(objective.metric).values())
    spread = "" if error is None else f" ± {told(error, reached):.2g}"
    change = f"{objective.gain(gain.mean):+.4g}{spread}"
    if winner is best:
        return f"adopted {ours}: {objective.metric} {change} over {theirs}, {_reason(verdict, reached)}"
    reason = _reason(verdict, reached) if gain.mean > 0 else "no better"
    return f"kept {theirs}: {ours} gives {objective.metric} {change}, {reason}"


def _reason(verdict: Verdict, reached: float) -> str:
    """What decided: the noise between seeds, or the least gain that is wanted."""
    threshold, margin = verdict.threshold, verdict.margin
    limit = f" (threshold {told(threshold, reached):.3g})" if threshold is not None else ""
    above = verdict.winner is verdict.best
    if threshold is None:
        return "but the noise is unknown with one run each"
    if margin is None:
        return f"{'' if above else 'not '}above minImprovement{limit}; with one run each the noise is unknown"
    if threshold > margin:
        return f"{'' if above else 'not '}above minImprovement{limit}"
    return f"{'above' if above else 'within'} the noise{limit}"


def concluded(objective: Objective, chosen: Parameters, numbers: Mapping[str, Any]) -> str:
    """The gain over the start."""
    configuration = described(chosen, list(chosen))
    mean, gain, interval = numbers["mean"], numbers["gain"], numbers["interval"]
    if mean is None:
        return f"{configuration} came to no result on fresh seeds"
    reached = f"{configuration} reaches {objective.metric} {mean:.4g} on fresh seeds"
    if numbers["unchanged"]:
        return f"{reached}; nothing was found that beats the start"
    if gain is None or interval is None:
        return f"{reached}; too few runs of it and the start to compare them"
    low, high = sorted(told(objective.gain(end), mean) for end in interval)
    change, n, level = objective.gain(gain), numbers["n"], numbers["level"]
    return f"{reached}: {change:+.4g} over the start ({level:.0%} interval {low:+.4g} to {high:+.4g}, n={n})"
