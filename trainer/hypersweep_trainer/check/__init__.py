"""Checks that save GPU hours: before training, at each epoch, and after it; each with a verdict in words.

After Karpathy, A Recipe for Training Neural Networks (2019), and Goodfellow et al., Deep Learning, 11.5.
None of them reads test rows, or leaves a trace in what is trained.
"""

import math
from collections.abc import Callable

import torch
from torch import nn

from hypersweep_trainer.check import course, start
from hypersweep_trainer.check.advice import advice
from hypersweep_trainer.check.course import trouble
from hypersweep_trainer.check.few import Few
from hypersweep_trainer.check.gradient import gradient
from hypersweep_trainer.check.verdict import Verdict, hint
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data
from hypersweep_trainer.result import Outcome, failed
from hypersweep_trainer.stop import Look, unasked

__all__ = ["Verdicts", "after", "before", "failed", "start_of", "trouble"]

Verdicts = dict[str, Verdict]  # by the names of the checks
Checks = dict[str, Callable[[], Verdict]]


def before(
    config: Config, data: Data, network: nn.Module, device: torch.device, look: Look = unasked
) -> Verdicts:
    """What is to be said before training; in a sweep's first trial of all checks, else of the free ones.

    Those that take long call `look` between their steps, and raise what it raises.
    """
    options = config.options
    if options.checks == "off":
        return {}
    checks: Checks = {"zero_mean": lambda: start.zero_mean(options, data, device)}
    if not options.pretrained:  # else the network knows something already
        checks["first_loss"] = lambda: start.first_loss(network, options, data, device)
    if config.thorough:
        few = Few(config, data, device, look)
        checks |= {
            "gradient": lambda: gradient(config, data, device, look),
            "overfit_small": few.overfit,
            "regularisation": few.regularisation,
            "hints": lambda: advice(config),
        }
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        return _made(checks)


def start_of(config: Config, data: Data, verdicts: Verdicts, device: torch.device) -> float:
    """The loss that training starts from: that of the first weights, or of a guess where that is higher."""
    if config.options.checks == "off":
        return math.inf
    first = verdicts.get("first_loss", {}).get("found") or 0.0
    return max(start.chance(config.options, data, device), first)


def after(config: Config, data: Data, network: nn.Module, outcome: Outcome, device: torch.device) -> Verdicts:
    """What is to be said of a run that has ended with this network."""
    options = config.options
    if options.checks == "off":
        return {}
    losses = [row["metrics"]["train_loss"] for row in outcome.rows]
    checks: Checks = {"diverged": lambda: course.diverged(losses, outcome.reason)}
    if outcome.status == "done":
        if not options.pretrained:  # else there may be little left to learn
            checks["stalled"] = lambda: course.stalled(losses)
        outside = outcome.rows[-1]["metrics"]["val_loss"]
        checks["gap"] = lambda: course.gap(network, options, data, outside, device)
    return _made(checks)


def _made(checks: Checks) -> Verdicts:
    return {name: verdict for name, check in checks.items() if (verdict := _tried(check))}


def _tried(check: Callable[[], Verdict]) -> Verdict:
    """A check must not end a run: an own network need not take float64, and memory may be short."""
    try:
        return check()
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return hint(math.nan, 0.0, f"could not be made: {error}")
