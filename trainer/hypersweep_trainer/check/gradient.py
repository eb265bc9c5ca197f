"""Whether backward passes are right: slopes by autograd against finite differences, in float64."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from hypersweep_trainer import loss
from hypersweep_trainer.check.bare import bare, built
from hypersweep_trainer.check.sample import spread, taken
from hypersweep_trainer.check.verdict import Verdict, fail, ok
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data
from hypersweep_trainer.stop import Look, unasked

ROWS, WEIGHTS = 8, 20
SECONDS = 60.0  # after which the other slopes of a large network are left alone
STRIDE = 7  # from one weight to the next: those that time allows lie all over the network
WIDTHS = (1e-6, 1e-7)  # of a step to each side; the second where a loss bends within the first
WRONG = 1e-4  # relative error of a slope
KINK = 1e-2  # the same between the slopes to both sides of a weight
LEAST = 1e-3  # the share of the loss that a slope counts as at least: of less, rounding tells too little


def gradient(config: Config, data: Data, device: torch.device, look: Look = unasked) -> Verdict:
    """The largest slopes of weights all over the network, one after the other."""
    options = bare(config).options
    network = built(bare(config), data, device).double().eval()
    rule = loss.build(options, data.form, data.frequencies)
    x, y = map(_double, taken(data, spread(data, ROWS, device)))

    def measure() -> Tensor:
        return rule.mean(network(x), y)

    parameters = [p for p in network.parameters() if p.requires_grad]
    total = measure()
    slopes = torch.autograd.grad(total, parameters, allow_unused=True)
    used = [
        (p.data.view(-1), slope.flatten())
        for p, slope in zip(parameters, slopes, strict=True)
        if slope is not None
    ]
    errors: list[float] = []
    deadline = time.monotonic() + SECONDS
    while len(errors) < WEIGHTS and (not errors or time.monotonic() < deadline):
        look()
        number = len(errors) * STRIDE % WEIGHTS
        weights, slope = used[number * len(used) // WEIGHTS]
        steepest = slope.abs().topk(min(WEIGHTS, len(slope))).indices
        place = int(steepest[number % len(steepest)])
        errors.append(_error(weights, place, float(slope[place]), float(total.detach()), measure))
    worst = max(errors)
    words = f"of {len(errors)} slopes the worst is {worst:.2g} off from finite differences"
    if worst < WRONG:
        return ok(worst, WRONG, words)
    return fail(worst, WRONG, f"{words}: a backward pass is wrong")


def _double(part: Tensor) -> Tensor:
    return part.double() if part.is_floating_point() else part


@torch.no_grad()
def _error(weights: Tensor, place: int, slope: float, at: float, measure: Callable[[], Tensor]) -> float:
    """How far a slope of the loss `at` some weights is off, as a share; nothing is said of kinks."""
    kept, errors = float(weights[place]), []
    for width in WIDTHS:
        weights[place] = kept + width
        right = (float(measure()) - at) / width
        weights[place] = kept - width
        left = (at - float(measure())) / width
        weights[place] = kept
        least = max(abs(slope), abs(left + right) / 2, LEAST * max(at, 1.0))
        beyond = abs(slope - (left + right) / 2) - abs(left - right) / 2
        errors.append(max(beyond, 0.0) / least if abs(left - right) < KINK * least else 0.0)
        if errors[-1] < WRONG:
            break
    return min(errors)
