"""Images: folders of files or pixels in memory, their statistics and sizes, and their rows for training."""

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.data.demand import OnDemand
from hypersweep_trainer.data.raw import DataError, Raw, Rows
from hypersweep_trainer.data.reader import Reader
from hypersweep_trainer.data.room import Room
from hypersweep_trainer.data.split import Split
from hypersweep_trainer.data.statistic import statistics
from hypersweep_trainer.data.stream import Held, Placed, Source, near, pair, placed, tensor
from hypersweep_trainer.data.view import Frame, View, decoded, evaluation, grey, unit
from hypersweep_trainer.options import Options

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
FILE = "a file: if it is of another kind, set format"
SIDE = 224  # of images from files, where no size is given
FLOAT = 4  # bytes
THREADS, CHUNK = 8, 256  # that open files, and how many each opens in turn
ENLARGED = 8 / 7  # how much larger images are kept that random crops are cut from: 256 for 224


@dataclass(frozen=True)
class ImageParts:
    """Images of each part; those for training are raw where they are to be augmented (see `normalise`)."""

    train: Rows
    val: Rows
    test: Rows | None
    normalise: Callable[[Tensor], Tensor]  # images (n, c, h, w) from 0 to 1 -> what the network takes
    shape: tuple[int, int, int]  # of one row as the network takes it in training
    encoding: Mapping[str, Any]
    evaluated: Callable[[NDArray[np.int64]], Rows] | None  # rows as evaluation sees them


def read(folder: Path) -> Raw:
    """The images of a folder that holds one folder for each class; raises DataError.

    Classes are sorted by name, and so are the files of each, those in folders below it among them. The
    digest covers names and sizes; of the files themselves only the beginnings are read, all of them.
    """
    classes = _classes(folder)
    found = {name: files(folder / name) for name in classes}
    every = [file for held in found.values() for file in held]
    digest = hashlib.sha256()
    for file in every:
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\n".encode())
    return Raw(
        task="image",
        target="classification",
        labels=np.repeat(np.arange(len(classes)), [len(found[name]) for name in classes]),
        digest=digest.hexdigest()[:16],
        names=classes,
        files=every,
        about={"channels": 1 if _grey(every) else 3},
    )


def _grey(files: Sequence[Path]) -> bool:
    """Whether all images are grey; opens each, since a broken one would else end a training of hours."""

    def opened(start: int) -> list[bool]:
        return [grey(file) for file in files[start : start + CHUNK]]

    with ThreadPoolExecutor(THREADS) as pool:
        found = [*pool.map(opened, range(0, len(files), CHUNK))]
    return all(map(all, found))


def _classes(folder: Path) -> tuple[str, ...]:
    must = f"{folder}: must be a folder that holds one folder of images for each class, two at least"
    if not folder.is_dir():
        raise DataError(f"{must}, but is {FILE if folder.exists() else 'not there'}")
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 2:
        raise DataError(f"{must}, but holds {f'only {names[0]}' if names else 'none'}")
    return tuple(names)


def files(folder: Path) -> list[Path]:
    """The images in a folder and below it, sorted; raises DataError when there are none."""
    found = sorted(
        Path(root, name)
        for root, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(ENDINGS) and not name.startswith(".")
    )
    if not found:
        raise DataError(f"{folder}: must hold images ({', '.join(ENDINGS)}), but holds none")
    return found


def parts(raw: Raw, split: Split, options: Options, device: torch.device, final: bool) -> ImageParts:
    """The rows of each part, their targets being `raw.labels` as they are; raises DataError.

    Images are scaled as a whole, whatever the ratio of their sides. Rows of pixels are finished at once if
    there is room, otherwise, as those of files, whenever they are taken: from bytes on the device if there is
    room for them, or as they are streamed.
    """
    from hypersweep_trainer.augment import wanted

    framed = raw.pixels is None  # files are, when they are read
    own = (SIDE, SIDE) if raw.pixels is None else raw.pixels.shape[2:]
    channels = int(raw.about["channels"] if raw.pixels is None else raw.pixels.shape[1])
    seen = Frame((options.image_size or own[0], options.image_size or own[1]))
    tested = Frame((options.test_size or seen.size[0], options.test_size or seen.size[1]), options.test_crop)
    augmented, room = wanted(options), Room(options.resident, device)

    def part(rows: NDArray[np.int64], kept: Frame, finished: Frame | None) -> Placed:
        sources = _sources(raw, rows, kept, options)
        shape = sources[0].shape
        good = None if finished is None or framed else FLOAT * math.prod((*shape[:2], *finished.size))
        return placed(sources, good, room, device)

    val = part(split.val, tested, tested)
    test = part(split.test, tested, tested) if final and len(split.test) else None
    train = part(split.train, _kept(seen, options), None if augmented else seen)
    mean, deviation = statistics(options, train.sources[0], seen, channels, device)
    encoding = {
        "channels": channels,
        "size": list(seen.size),
        "test_size": list(tested.size),
        "test_crop": tested.crop,
        "mean": mean,
        "std": deviation,
    }
    evaluating = evaluation(encoding, device)
    training = View(seen, evaluating.mean, evaluating.deviation)
    later = pair(evaluating.finish if framed else evaluating)

    def evaluated(rows: NDArray[np.int64]) -> Rows:
        sources = [near(source, device) for source in _sources(raw, rows, tested, options)]
        return Placed(sources, near=True, good=False).rows(later, device)

    return ImageParts(
        train.rows(pair(unit) if augmented else pair(training), device),
        val.rows(later, device),
        None if test is None else test.rows(later, device),
        training,
        (channels, *seen.size),
        encoding,
        None if tested == seen else evaluated,
    )


def _kept(seen: Frame, options: Options) -> Frame:
    """What is kept of files for training: more than is seen, where random crops are cut from it."""
    enlarged = ENLARGED if options.random_resized_crop else 1.0
    return Frame((round(enlarged * seen.size[0]), round(enlarged * seen.size[1])))


def _sources(raw: Raw, rows: NDArray[np.int64], frame: Frame, options: Options) -> list[Source]:
    """Images of some rows as they lie on this machine, and their targets unless they are both."""
    images = _source(raw, rows, frame, options.loader_workers)
    if options.target == "reconstruction":
        return [images]
    return [images, Held(_targets(raw.labels), torch.from_numpy(rows))]


def _source(raw: Raw, rows: NDArray[np.int64], frame: Frame, workers: int) -> Source:
    if raw.pixels is not None:
        return held(raw.pixels, rows, workers)
    assert raw.files is not None
    files, channels = [raw.files[row] for row in rows], int(raw.about["channels"])
    shape = (len(files), channels, *frame.size)
    return Reader(lambda row: decoded(files[row], channels, frame), shape, torch.uint8, workers)


def held(pixels: NDArray[Any] | OnDemand, rows: NDArray[np.int64], workers: int) -> Source:
    """Some rows of pixels, in memory or on demand."""
    if not isinstance(pixels, OnDemand):
        return Held(tensor(pixels), torch.from_numpy(rows))
    dtype = torch.from_numpy(np.empty(0, pixels.dtype)).dtype

    def read(row: int) -> Tensor:
        return torch.from_numpy(pixels.read(int(rows[row])))

    return Reader(read, (len(rows), *pixels.shape[1:]), dtype, workers)


def _targets(labels: NDArray[Any]) -> Tensor:
    """Classes as int64, numbers as float32."""
    y = tensor(labels)
    return y.float() if y.is_floating_point() else y
