"""How fast a run goes, and the line of each epoch that tells it to people."""

import math
import resource
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

RESIDENT = Path("/proc/self/statm")  # its second number, in pages


class Pace:
    """Samples a second while a run trains, and how long it takes with all that it does beside that."""

    def __init__(self, step: int, samples: float) -> None:
        self.rate = math.nan  # samples a second of the last steps that were measured
        self._samples = samples  # of one step
        self._from = self._epoch = (step, time.monotonic())

    def go(self, step: int) -> None:
        """Steps follow."""
        self._from = (step, time.monotonic())

    def measure(self, step: int) -> None:
        """Steps are done, on the device, too; where there were none the rate stays what it was."""
        steps, seconds = _since(self._from, step)
        if steps:
            self.rate = steps * self._samples / seconds

    def left(self, step: int, more: int) -> float:
        """Seconds for `more` steps, with evaluations and the rest, as the last epoch went; once an epoch."""
        steps, seconds = _since(self._epoch, step)
        self._epoch = (step, time.monotonic())
        return seconds / max(steps, 1) * more


def _since(mark: tuple[int, float], step: int) -> tuple[int, float]:
    return step - mark[0], time.monotonic() - mark[1]


def memory(device: torch.device) -> float:
    """Bytes: on a GPU the most that tensors took since the last call, else all that this process holds."""
    if device.type == "cuda":
        most = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return float(most)
    if not RESIDENT.exists():
        return math.nan
    return float(RESIDENT.read_text().split()[1]) * resource.getpagesize()


def line(
    row: Mapping[str, Any], run: Mapping[str, float], epochs: int, left: float, shown: Collection[str]
) -> str:
    """An epoch: metrics, learning rate, samples a second, time to go; columns keep their places."""
    values = (f"{name} {value:<7.4g}" for name, value in row["metrics"].items() if name in shown)
    epoch = f"{row['epoch']:>{len(str(epochs))}}/{epochs}"
    speed = f"{run['samples_per_second']:>6.0f} samples/s" if "samples_per_second" in run else ""
    words = (f"epoch {epoch}  step {row['step']:<6}", *values, f"lr {run['lr']:<8.3g}", speed)
    return "  ".join((*filter(None, words), f"{clock(left)} to go"))


def clock(seconds: float) -> str:
    """m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
