"""Whether backward passes are right: slopes by autograd against finite differences, in float64."""

from collections.abc import Callable

import torch
from torch import Tensor

from hypersweep_trainer import loss
from hypersweep_trainer.check.bare import bare, built
from hypersweep_trainer.check.sample import spread, taken
from hypersweep_trainer.check.verdict import Verdict, fail, ok
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data

ROWS, WEIGHTS = 8, 20
WIDTH = 1e-6  # of a weight to each side, between two losses
WRONG = 1e-4  # relative error of a slope
LEAST = 1e-3  # what a slope counts as at least: float64 sees a smaller one's error no better


def gradient(config: Config, data: Data, device: torch.device) -> Verdict:
    """The largest slopes of weights all over the network, one after the other."""
    options = bare(config).options
    network = built(bare(config), data, device).double().eval()
    rule = loss.build(options, data.form, data.frequencies)
    x, y = map(_double, taken(data, spread(data, ROWS, device)))

    def measure() -> Tensor:
        return rule.mean(network(x), y)

    parameters = [p for p in network.parameters() if p.requires_grad]
    slopes = torch.autograd.grad(measure(), parameters, allow_unused=True)
    used = [(p, slope) for p, slope in zip(parameters, slopes, strict=True) if slope is not None]
    worst = 0.0
    for number in range(WEIGHTS):
        parameter, slope = used[number * len(used) // WEIGHTS]
        steepest = slope.abs().flatten().topk(min(WEIGHTS, slope.numel())).indices
        place = int(steepest[number % len(steepest)])
        worst = max(worst, _error(parameter, place, float(slope.flatten()[place]), measure))
    words = f"of {WEIGHTS} slopes the worst is {worst:.2g} off from finite differences"
    if worst < WRONG:
        return ok(worst, WRONG, words)
    return fail(worst, WRONG, f"{words}: a backward pass is wrong")


def _double(part: Tensor) -> Tensor:
    return part.double() if part.is_floating_point() else part


@torch.no_grad()
def _error(parameter: Tensor, place: int, slope: float, measure: Callable[[], Tensor]) -> float:
    """How far a slope is off, as a share; 0 where the loss has a kink, and no width tells its slope."""
    weights = parameter.view(-1)
    numeric = _difference(weights, place, WIDTH, measure)
    least = max(abs(slope), abs(numeric), LEAST)
    error = abs(slope - numeric) / least
    if error < WRONG:
        return error
    wider = _difference(weights, place, 10 * WIDTH, measure)
    return error if abs(wider - numeric) / least < WRONG else 0.0


def _difference(weights: Tensor, place: int, width: float, measure: Callable[[], Tensor]) -> float:
    kept = float(weights[place])
    weights[place] = kept + width
    above = float(measure())
    weights[place] = kept - width
    below = float(measure())
    weights[place] = kept
    return (above - below) / (2 * width)
