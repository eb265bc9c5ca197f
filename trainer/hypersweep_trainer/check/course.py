"""How a run goes, and what it comes to: checks that need no more than what training measures anyway."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from hypersweep_trainer import loss
from hypersweep_trainer.check.sample import ROWS, judged, measured, spread
from hypersweep_trainer.check.verdict import Verdict, fail, hint, ok
from hypersweep_trainer.data import Data
from hypersweep_trainer.options import Options

WORSE, EARLY = 1.5, 50  # a loss so many times that of the start after so many steps is a divergence
FALL, EPOCHS = 0.01, 2  # the share by which the loss falls within so many epochs
FEWEST = 30  # rows that tell how far losses spread
UNDERFIT, OVERFIT = 0.02, 0.5  # the share of the validation loss that is missing on training rows


def trouble(metrics: Mapping[str, float], start: float, step: int, epoch: int) -> str:
    """Why a run that began with the loss `start` is not worth going on with; empty when it is."""
    where = f"after step {step} (epoch {epoch})"
    if wrong := [name for name, value in metrics.items() if not math.isfinite(value)]:
        return f"{wrong[0]} is not finite {where}"
    found = metrics["train_loss"]
    if step >= EARLY and found > WORSE * start:
        return f"diverged: train_loss is {found:.4g} {where}, and was {start:.4g} before the first"
    return ""


def diverged(losses: Sequence[float], reason: str) -> Verdict:
    """Whether trouble ended a run; other learning rates may do better."""
    if reason:
        return hint(math.nan, 0.0, reason.removeprefix("diverged: "))  # the verdict's own name
    return ok(max(losses), losses[0], f"train_loss was never above {max(losses):.4g} in an epoch")


def stalled(losses: Sequence[float]) -> Verdict:
    """Whether the training loss fell, if only by a hundredth; nothing is said of too few epochs."""
    if len(losses) <= EPOCHS:
        return {}
    first, least = losses[0], min(losses[1:])
    words = f"train_loss was {first:.4g} in the first epoch and {least:.4g} in the best one after it"
    if least <= first * (1 - FALL):
        return ok(least, first, words)
    return hint(least, first, f"{words}: stalled? Try a higher lr, unless there is nothing to learn")


def gap(network: nn.Module, options: Options, data: Data, outside: float, device: torch.device) -> Verdict:
    """Whether the validation loss `outside` is above that of training rows, and not by too much.

    Both are of one network in evaluation, without augmentation: dropout or MixUp make a training loss no
    measure of a leak. Nor is a lower loss of tokens one: they validate at the end of a text, which may be
    easier than its beginning, where other rows are drawn at random.
    """
    x, y = judged(data, spread(data, ROWS, device))
    inside, error = measured(network, loss.build(options, data.form, data.frequencies), data, x, y)
    found = (outside - inside) / max(outside, 1e-12)
    words = f"the loss is {inside:.4g} on training rows and {outside:.4g} on validation rows"
    enough = min(len(x), len(data.val)) >= FEWEST
    if enough and outside < inside - 3 * error * math.sqrt(1 + len(x) / len(data.val)):
        if data.form.target == "tokens":
            return hint(
                found, 0.0, f"{words}: is the end of the text easier than its beginning, or a copy of it?"
            )
        return fail(found, 0.0, f"{words}: leak? What was never seen should not be easier")
    if found > OVERFIT:
        return hint(found, OVERFIT, f"{words}: overfit")
    if found < UNDERFIT:
        return hint(found, UNDERFIT, f"{words}: underfit? There is hardly a gap")
    return ok(found, OVERFIT, words)
