"""Whether an epoch under way is worth going on with: long ones would show it hours too late."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from hypersweep_trainer.check.course import EARLY, WORSE
from hypersweep_trainer.rank import Ranks

LOOK = EARLY  # steps of an epoch from one look at its losses to the next
LATER = 10  # steps from asking for their sum to reading it: by then it has reached the host
ENOUGH = 1024  # rows whose mean loss tells how the run goes, and not just of outliers
TWICE = 2  # means that must be too high one after the other: what is rare in the data comes and goes


@dataclass
class Seen:
    """What is known of an epoch under way."""

    epoch: int = 0
    before: int = 0  # steps of the run before it
    steps: int = 0  # of the epoch when its losses were asked for last
    rows: int = 0
    counted: int = 0  # the rows and their losses after which the mean under way begins
    losses: float = 0.0
    high: int = 0  # means that were too high, one after the other


class Watch:
    """Looks at the losses of all ranks without a host that waits for its device.

    What it finds, and when, follows from the numbers of steps alone: on every rank, and in a run that goes on
    from a checkpoint, it is the same at the same step.
    """

    def __init__(self, ranks: Ranks, start: float) -> None:
        self._ranks, self._start = ranks, start  # the loss before the first step
        self._seen = Seen()
        self._asked: Callable[[], float] | None = None

    def renew(self, epoch: int, before: int) -> None:
        """Watch an epoch from its first step on; so many are done before it."""
        self._seen, self._asked = Seen(epoch, before), None

    def look(self, losses: Tensor, steps: int, rows: int) -> str:
        """Why the run should end, empty where it should not; called after each step.

        `losses` is this rank's sum, (), since the epoch began: `steps` steps, of `rows` rows on all ranks.
        """
        place = steps % LOOK
        if place == 0:
            self._seen.steps, self._seen.rows, self._asked = steps, rows, self._ranks.total(losses)
        if place != LATER or self._asked is None:
            return ""
        total, self._asked = self._asked(), None
        return self._judged(total)

    def _judged(self, total: float) -> str:
        seen = self._seen
        step, rows = seen.before + seen.steps, seen.rows - seen.counted
        where = f"after step {step} (epoch {seen.epoch})"
        if not math.isfinite(total):
            return f"train_loss is not finite {where}"
        late = step > EARLY
        if late and rows < ENOUGH:
            return ""
        mean = (total - seen.losses) / rows
        seen.high = seen.high + 1 if late and mean > WORSE * self._start else 0
        seen.losses, seen.counted = total, seen.rows
        if seen.high < TWICE:
            return ""
        return f"diverged: train_loss is {mean:.4g} {where}, and was {self._start:.4g} before the first"

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold; all ranks ask for it together."""
        value = None if self._asked is None else self._asked()
        self._hold(value)
        return {**asdict(self._seen), "asked": value}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._seen = Seen(**{name: value for name, value in state.items() if name != "asked"})
        self._hold(state["asked"])

    def _hold(self, value: float | None) -> None:
        """A sum that was asked for, once it is known."""
        self._asked = None if value is None else lambda: value
