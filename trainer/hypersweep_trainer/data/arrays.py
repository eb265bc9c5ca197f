"""Rows as arrays: tables, images or tokens with their targets, in an NPZ file or in memory."""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.data import label
from hypersweep_trainer.data.demand import OnDemand, pixels
from hypersweep_trainer.data.digest import digest
from hypersweep_trainer.data.raw import DataError, Raw, smallest
from hypersweep_trainer.options import Options

Array = NDArray[Any]
TASKS = ("image", "tabular", "sequence")
TOKENS = 1 << 24  # different ones: of more the network alone would not fit
TARGETS = ("classification", "regression", "tokens", "reconstruction")


def read(path: Path, options: Options) -> Raw:
    """Of an NPZ file the array `x` with the one that `label` names, else `y` or `label`; raises DataError.

    Rows of integers may be numbers or tokens: `task` has to say which.
    """
    where = options.data
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it is one array without a name")
            found = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, OSError, BadZipFile) as error:
        raise DataError(f"{where}: cannot be read as npz: {error}") from error
    name = options.label or next((name for name in ("y", "label") if name in found), "")
    for wanted in filter(None, ("x", name)):
        if wanted not in found:
            raise DataError(f"{where}: there is no array {wanted} among {', '.join(found) or 'none'}")
    x = found["x"]
    if options.task not in TASKS and x.ndim == 2 and x.dtype.kind in "iu":
        raise DataError(f"{where}: x holds integers {x.shape}: set task to tabular or sequence")
    return raw(x, found.get(name), options, where)


def images(x: Array | OnDemand, y: Array, options: Options, where: str) -> Raw:
    """Images (n, channels, height, width) of a Dataset with their targets y (n,); raises DataError.

    The digest does not cover the pixels: whether they are all read goes by the memory that is free, and what
    goes on from a checkpoint must find its data the same.
    """
    target, labels, names = _target(y, len(x), "image", options, where)
    total = digest([repr((x.shape, x.dtype.str))], labels, names)
    return Raw("image", target, labels, total, names, pixels=x)


def raw(x: Array, y: Array | None, options: Options, where: str) -> Raw:
    """Rows x with their targets y (n,); raises DataError that begins with `where`.

    Two dimensions are a table, or of integers, tokens; three or four are images (n, height, width), with
    channels before or after, of integers to 255 or numbers to 1; integers in one dimension without y are a
    stream of tokens. Token 0 is what is hidden or unseen. Numbers in y make a regression; integers, truth
    values and text are classes.
    """
    if x.dtype.kind not in "biuf" or not x.size or not x.ndim:
        raise DataError(f"{where}: x must hold numbers in rows, but has shape {x.shape} and type {x.dtype}")
    task = _task(x, y, options, where)
    rows: dict[str, Any] = {"tabular": _table, "image": _images, "sequence": _tokens}[task](x, where)
    target, labels, names = _target(y, len(x), task, options, where)
    return Raw(task, target, labels, digest(x, labels, names), names, **rows)


def _task(x: Array, y: Array | None, options: Options, where: str) -> str:
    """What the options say, otherwise what shape and type say."""
    whole = x.dtype.kind in "iu"
    tokens = whole and (x.ndim == 2 or y is None)
    usual = {1: "tabular", 2: "tabular", 3: "image", 4: "image"}.get(x.ndim, "auto")
    task = options.task if options.task in TASKS else "sequence" if tokens and x.ndim < 3 else usual
    fits = {"tabular": True, "image": x.ndim in (3, 4), "sequence": whole and x.ndim in (1, 2)}
    if not fits.get(task):
        raise DataError(
            f"{where}: x must be (n, columns), (n, height, width) with channels before or after, or integers "
            f"(n, context), as task {task} needs it, but has shape {x.shape} and type {x.dtype}"
        )
    return task


def _table(x: Array, where: str) -> dict[str, Any]:
    columns = np.ascontiguousarray(x.reshape(len(x), -1).T, np.float64)
    infinite = np.flatnonzero(np.isinf(columns).any(axis=0))
    if len(infinite):
        row = infinite[0] + 1
        raise DataError(
            f"{where}: x must hold finite numbers, or NaN where one is missing, but not so in row {row}"
        )
    return {"columns": {f"x{place}": cells for place, cells in enumerate(columns)}}


def _images(x: Array, where: str) -> dict[str, Any]:
    return {"pixels": pixels(x, where)}


def _tokens(x: Array, where: str) -> dict[str, Any]:
    if x.min() < 0:
        raise DataError(f"{where}: x must hold tokens from 0, but the least is {x.min()}")
    vocabulary = int(x.max()) + 1
    if vocabulary > TOKENS:
        raise DataError(f"{where}: x must hold tokens below {TOKENS}, but the greatest is {vocabulary - 1}")
    return {"tokens": x.astype(smallest(vocabulary), copy=False), "vocabulary": vocabulary}


def _target(
    y: Array | None, count: int, task: str, options: Options, where: str
) -> tuple[str, Array, tuple[str, ...]]:
    """What is predicted, the label of each row, and the names of classes."""
    target = options.target if options.target in TARGETS else _usual(y, task)
    if target in ("tokens", "reconstruction"):
        return target, np.zeros(count, np.int64), ()
    if y is None:
        raise DataError(f"{where}: must give y with x, or `target` must be reconstruction")
    if y.size != count or len(y) != count:
        raise DataError(f"{where}: y must hold one target for each of {count} rows, but has shape {y.shape}")
    cells = y.reshape(-1)
    cells = cells if cells.dtype.kind in "biuf" else cells.astype(str).astype(object)
    if target == "classification":
        return target, *label.classes(cells, f"{where}, y")
    return target, label.numbers(cells, f"{where}, y"), ()


def _usual(y: Array | None, task: str) -> str:
    if y is None:
        return "tokens" if task == "sequence" else "classification"
    return "regression" if y.dtype.kind == "f" else "classification"
