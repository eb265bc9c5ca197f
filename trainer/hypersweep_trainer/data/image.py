"""Images: folders of files or pixels in memory, their statistics and sizes, and their rows for training."""

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.data.raw import DataError, Raw, Resident, Rows
from hypersweep_trainer.data.split import Split
from hypersweep_trainer.data.statistic import statistics
from hypersweep_trainer.data.stream import Finished, Held, Images, Streamed, free
from hypersweep_trainer.data.view import Frame, View, decoded, evaluation, grey, unit
from hypersweep_trainer.options import Options

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
SIDE = 224  # of images from files, where no size is given
ENLARGED = 8 / 7  # how much larger images are kept that random crops are cut from: 256 for 224
ROOM = 0.4  # share of the free memory that rows may fill
CHUNK = 128  # images that are worked on at a time


@dataclass(frozen=True)
class ImageParts:
    """Images of each part; those for training are raw where they are to be augmented (see `normalise`)."""

    train: Rows
    val: Rows
    test: Rows | None
    normalise: Callable[[Tensor], Tensor]  # images (n, c, h, w) from 0 to 1 -> what the network takes
    shape: tuple[int, int, int]  # of one row as the network takes it in training
    encoding: Mapping[str, Any]


def read(folder: Path) -> Raw:
    """The images of a folder that holds one folder for each class; raises DataError.

    Classes are sorted by name, and so are the files of each, those in folders below it among them. The
    digest covers names and sizes: it does not read the files.
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
        about={"channels": 1 if all(map(grey, every)) else 3},
    )


def _classes(folder: Path) -> tuple[str, ...]:
    must = f"{folder}: must be a folder that holds one folder of images for each class, two at least"
    if not folder.is_dir():
        raise DataError(f"{must}, but is {'a file' if folder.exists() else 'not there'}")
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

    Images are scaled as a whole, whatever the ratio of their sides. Rows of pixels are finished at once,
    those of files whenever they are taken, from bytes on the device or as they are streamed.
    """
    from hypersweep_trainer.augment import wanted

    own = (SIDE, SIDE) if raw.pixels is None else raw.pixels.shape[2:]
    channels = int(raw.about["channels"] if raw.pixels is None else raw.pixels.shape[1])
    seen = Frame((options.image_size or own[0], options.image_size or own[1]))
    tested = Frame((options.test_size or seen.size[0], options.test_size or seen.size[1]), options.test_crop)
    rows = (split.train, split.val, split.test if final else split.test[:0])
    if raw.pixels is not None:
        images: list[Images] = [Held(torch.from_numpy(raw.pixels[part]).to(device)) for part in rows]
    else:
        images = _opened(raw, rows, (_kept(seen, options), tested, tested), options, device)
    mean, deviation = statistics(options, images[0], seen, channels, device)
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
    later = evaluating if raw.pixels is not None else evaluating.finish  # files are framed when they are read
    finishes = (unit if wanted(options) else training, later, later)
    train, val, test = map(partial(_finished, raw, options, device), rows, images, finishes)
    return ImageParts(train, val, test if len(test) else None, training, (channels, *seen.size), encoding)


def _kept(seen: Frame, options: Options) -> Frame:
    """What is kept of files for training: more than is seen, where random crops are cut from it."""
    enlarged = ENLARGED if options.random_resized_crop else 1.0
    return Frame((round(enlarged * seen.size[0]), round(enlarged * seen.size[1])))


def _opened(
    raw: Raw,
    rows: Sequence[NDArray[np.int64]],
    frames: Sequence[Frame],
    options: Options,
    device: torch.device,
) -> list[Images]:
    """The files of training, validation and test, on the device where they fit; for training last."""
    channels = int(raw.about["channels"])
    shapes = [(len(part), channels, *frame.size) for part, frame in zip(rows, frames, strict=True)]
    train, val, test = map(math.prod, shapes)
    room = _room(options.resident, device)
    fits = (train + val + test <= room, val <= room, val + test <= room)
    streams = [
        _stream(raw, part, frame, options.loader_workers, device)
        for part, frame in zip(rows, frames, strict=True)
    ]
    return [
        _loaded(stream, shape, device) if fit else stream
        for stream, shape, fit in zip(streams, shapes, fits, strict=True)
    ]


def _stream(raw: Raw, rows: NDArray[np.int64], frame: Frame, workers: int, device: torch.device) -> Streamed:
    assert raw.files is not None
    files, channels = [raw.files[row] for row in rows], int(raw.about["channels"])
    return Streamed(len(rows), lambda row: decoded(files[row], channels, frame), device, workers)


def _room(resident: str, device: torch.device) -> float:
    """Bytes that images may take on the device."""
    match resident:
        case "device":
            return math.inf
        case "host":
            return 0.0
    return ROOM * free(device)


def _loaded(images: Images, shape: tuple[int, ...], device: torch.device) -> Held:
    x = torch.empty(shape, dtype=torch.uint8, device=device)
    order = torch.arange(len(images))
    images.hint(order)
    for start in range(0, len(images), CHUNK):
        x[start : start + CHUNK] = images.select(order[start : start + CHUNK])
    return Held(x)


def _finished(
    raw: Raw,
    options: Options,
    device: torch.device,
    rows: NDArray[np.int64],
    images: Images,
    finish: Callable[[Tensor], Tensor],
) -> Rows:
    """Rows with their targets; those of pixels are finished for good, unless they wait to be augmented."""
    y = None if options.target == "reconstruction" else _targets(raw.labels[rows], device)
    finished = Finished(images, y, finish)
    if raw.pixels is None or finish is unit:
        return finished
    every = torch.arange(len(rows), device=device)
    x = torch.cat([finished.take(chunk)[0] for chunk in torch.split(every, CHUNK)])
    return Resident(x, x if y is None else y)


def _targets(labels: NDArray[Any], device: torch.device) -> Tensor:
    """Classes as int64, numbers as float32."""
    y = torch.from_numpy(labels).to(device)
    return y.float() if y.is_floating_point() else y
