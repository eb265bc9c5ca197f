"""Images of a Dataset of the user's own, which are asked for when they are wanted, or all at once."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.data.raw import DataError

Array = NDArray[Any]
ASKED = 16  # rows whose targets must be those of a Dataset's attribute, before it stands for all of them


class OnDemand:
    """The images of a Dataset as an array (n, channels, height, width) would hold them."""

    def __init__(self, rows: Any, where: str, first: Array) -> None:
        self._rows, self._where, self._own = rows, where, (_kind(first), first.shape)
        example = self._pixels(first, 1)
        self.shape: tuple[int, ...] = (len(rows), *example.shape)
        self.dtype = example.dtype
        self.nbytes = len(rows) * example.nbytes
        self.targets = self._known()

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, row: int) -> Array:
        """One image (channels, height, width); raises DataError."""
        return self._pixels(self._pair(row)[0], row + 1)

    def whole(self) -> tuple[Array, Array]:
        """All images and their targets, in memory; raises DataError."""
        images, targets = np.empty(self.shape, self.dtype), []
        for row in range(len(self)):
            found, target = self._pair(row)
            images[row] = self._pixels(found, row + 1)
            targets.append(target)
        found = np.stack(targets)
        if self.targets is not None and not np.array_equal(found, self.targets):
            row = next(row for row, one in enumerate(found) if not np.array_equal(one, self.targets[row]))
            raise DataError(
                f"{self._where}: the attribute targets must hold the target of each row, "
                f"but has {self.targets[row]} for row {row + 1}, which gives {found[row]}"
            )
        return images, found

    def labelled(self) -> Array:
        """The target of each row, as `whole` gives them; raises DataError."""
        if self.targets is not None:
            return self.targets
        return np.stack([self._pair(row)[1] for row in range(len(self))])

    def _known(self) -> Array | None:
        """The Dataset's attribute `targets`, where it holds those of its rows."""
        known = getattr(self._rows, "targets", None)
        if known is None or len(known) != len(self._rows):
            return None
        if any(getattr(self._rows, name, None) is not None for name in ("target_transform", "transforms")):
            return None
        targets = array(known)
        asked = map(int, np.unique(np.linspace(0, len(targets) - 1, ASKED, dtype=int)))
        return targets if all(np.array_equal(targets[row], self._pair(row)[1]) for row in asked) else None

    def _pair(self, row: int) -> tuple[Array, Array]:
        try:
            found, target = self._rows[row]
            return array(found), array(target)
        except Exception as error:
            raise DataError(
                f"{self._where}, row {row + 1}: cannot be read: {type(error).__name__}: {error}"
            ) from error

    def _pixels(self, found: Array, number: int) -> Array:
        where = f"{self._where}, row {number}"
        if (_kind(found), found.shape) != self._own:
            kind, shape = self._own
            raise DataError(
                f"{where}: x must hold {kind} of shape {shape}, as the first row does, "
                f"but has shape {found.shape} and type {found.dtype}"
            )
        image: Array = pixels(found[None], where)[0]
        return image


def _kind(image: Array) -> str:
    return {"i": "integers", "u": "integers", "b": "numbers to 1", "f": "numbers to 1"}.get(
        image.dtype.kind, "other things"
    )


def pixels(x: Array, where: str) -> Array:
    """Images (n, height, width), or with channels before or after, with channels first; raises DataError."""
    if x.ndim == 3:
        x = x[:, None]
    elif x.shape[3] < x.shape[1]:
        x = x.transpose(0, 3, 1, 2)
    kind, high = (np.float32, 1) if x.dtype.kind in "bf" else (np.uint8, 255)
    if not (x.min() >= 0 and x.max() <= high):
        raise DataError(
            f"{where}: x must hold images of integers from 0 to 255 or of numbers from 0 to 1, "
            f"but goes from {x.min():g} to {x.max():g}"
        )
    return np.ascontiguousarray(x, kind)


def array(values: Any) -> Array:
    """Numbers of the user's own as an array."""
    if not isinstance(values, Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    found: Array = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return found
