"""Data of the user's own, by import path: arrays, tensors or a Dataset, or a function that returns them."""

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset

from hypersweep_trainer.data import arrays
from hypersweep_trainer.data.demand import OnDemand, array
from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.data.room import Room
from hypersweep_trainer.data.stream import HOST
from hypersweep_trainer.options import Options

Array = NDArray[Any]


def read(spec: str, options: Options) -> Raw:
    """The data that `module:attribute` names, with modules of the current folder; raises DataError.

    It is `(x, y)`, a dict of `x` and `y`, `x` alone where nothing is labelled, a `torch.utils.data.Dataset`
    of pairs, or a callable that returns one of these and is given `options` if it takes them.

    Two dimensions of x are a table, or rows of tokens where they are integers; three or four are images; one
    of integers without y is a stream of tokens. Token 0 is what is hidden or unseen. Numbers in y make a
    regression; integers, booleans and texts are classes.

    All of it is read once, but for the images of a Dataset that are too many for this machine's memory: each
    of those is asked for whenever it is wanted, by `loader_workers` threads at once, and only their targets
    are read before, or taken from its attribute `targets`. The digest of a Dataset's images covers their
    shape, type and targets alone, wherever they lie.
    """
    try:
        with _importable(Path.cwd()):
            found = _found(spec, options)
            images = _images(found, options, spec)
            if images is not None:
                return arrays.images(*_held(images), options, spec)
            x, y = _arrays(found, spec)
    except DataError:
        raise
    except (Exception, SystemExit) as error:  # a script that is no module may end itself
        raise DataError(f"{spec}: cannot be read: {type(error).__name__}: {error}") from error
    return arrays.raw(x, y, options, spec)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _found(spec: str, options: Options) -> Any:
    module, _, name = spec.partition(":")
    found = attrgetter(name)(import_module(module))
    if not callable(found) or isinstance(found, Dataset):
        return found
    return found(options=options) if "options" in inspect.signature(found).parameters else found()


def _images(found: Any, options: Options, spec: str) -> OnDemand | None:
    """The rows of a Dataset with a length, where they are images."""
    if not isinstance(found, Dataset) or isinstance(found, IterableDataset):
        return None
    rows: Any = found
    ((x, _),) = _pairs((rows[row] for row in range(1)), spec)
    images = x.ndim in (2, 3) and options.task in ("auto", "image")
    return OnDemand(rows, spec, x) if images else None


def _held(images: OnDemand) -> tuple[Array | OnDemand, Array]:
    """Images with their targets, in memory unless they are too many."""
    return images.whole() if Room("auto", HOST).takes(images.nbytes) else (images, images.labelled())


def _arrays(found: Any, spec: str) -> tuple[Array, Array | None]:
    """x and y of what was found, as arrays with a row each."""
    match found:
        case IterableDataset():
            return _stacked(_pairs(found, spec))
        case Dataset():
            rows: Any = found
            return _stacked(_pairs((rows[row] for row in range(len(rows))), spec))
        case Mapping():
            if not {"x"} <= found.keys() <= {"x", "y"}:
                raise TypeError(f"a dict must hold x and y, but this one holds {', '.join(map(str, found))}")
            return _arrays((found["x"], found.get("y")), spec)
        case tuple() | list() if len(found) == 2:
            x, y = found
            return array(x), None if y is None else array(y)
    return array(found), None


def _pairs(rows: Iterable[tuple[Any, Any]], spec: str) -> list[tuple[Array, Array]]:
    """Each row with its target; raises DataError with the number of one that fails."""
    found: list[tuple[Array, Array]] = []
    try:
        for x, y in rows:
            found.append((array(x), array(y)))
    except Exception as error:
        raise DataError(
            f"{spec}, row {len(found) + 1}: cannot be read: {type(error).__name__}: {error}"
        ) from error
    return found


def _stacked(pairs: Iterable[tuple[Array, Array]]) -> tuple[Array, Array]:
    x, y = zip(*pairs, strict=True)
    return np.stack(x), np.stack(y)
