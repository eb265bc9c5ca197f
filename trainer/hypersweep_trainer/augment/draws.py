"""Random numbers of some rows of a global batch, drawn for all of it: every rank finds the same ones."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Draws:
    """What depends on the seed, the size of the batch and the order of calls, not on whose rows they are.

    What is drawn for a row comes from the host, which can so choose the work without waiting for a GPU; what
    is drawn for each cell of it, which is much, comes from the device.
    """

    def __init__(self, rng: np.random.Generator, count: int, places: Places, device: torch.device) -> None:
        self.count, self.places, self.device = count, places, device
        self._rng = rng

    def uniform(self, low: float, high: float) -> Numbers:
        """Evenly distributed from `low` to `high`, (n,)."""
        return self._rng.uniform(low, high, self.count)[self.places]

    def shares(self, columns: int) -> Numbers:
        """Evenly distributed from 0 to 1, (n, columns)."""
        return self._rng.random((self.count, columns))[self.places]

    def chance(self, probability: float) -> Flags:
        """True with a probability, (n,): never at 0, always at 1."""
        return (self._rng.random(self.count) < probability)[self.places]

    def beta(self, alpha: float) -> Numbers:
        """From Beta(alpha, alpha), (n,)."""
        return self._rng.beta(alpha, alpha, self.count)[self.places]

    def normal(self, columns: int) -> Numbers:
        """From N(0, 1), (n, columns)."""
        return self._rng.standard_normal((self.count, columns))[self.places]

    def integers(self, low: int, high: int, columns: int) -> Places:
        """From `low` to `high`, both included, (n, columns)."""
        return self._rng.integers(low, high, (self.count, columns), endpoint=True)[self.places]

    def cells(self, columns: int) -> Tensor:
        """Evenly distributed from 0 to 1, (n, columns), on the device."""
        return self.mine(torch.rand(self.count, columns, generator=self._generator(), device=self.device))

    def noise(self, columns: int) -> Tensor:
        """From N(0, 1), (n, columns), on the device."""
        return self.mine(torch.randn(self.count, columns, generator=self._generator(), device=self.device))

    def mine(self, batch: Tensor) -> Tensor:
        """Of something that the whole batch has, (count, …), what belongs to the rows asked for, (n, …)."""
        return batch.index_select(0, tensor(self.places, batch.device))

    def _generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(int(self._rng.integers(2**63)))


Take = Callable[[Tensor], tuple[Tensor, Tensor]]  # numbers of rows -> their inputs and targets
Alter = Callable[[Take, Tensor, Draws], tuple[Tensor, Tensor]]  # of a batch's rows, those that are drawn for


def tensor(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """The values on the device; numbers become float32. The host does not wait until they are there."""
    if values.dtype == np.float64:
        values = values.astype(np.float32)
    found = torch.from_numpy(values)
    return found.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else found
