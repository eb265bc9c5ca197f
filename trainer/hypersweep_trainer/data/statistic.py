"""Mean and deviation per channel of images: of the training rows, or those that a pre-trained network saw."""

import json
import os
from collections.abc import Sequence

import torch

from hypersweep.store import StoreRefused
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.data.stream import Source
from hypersweep_trainer.data.view import Frame, unit
from hypersweep_trainer.options import Options

CHUNK = 128  # images that are summed up at a time
LEAST = 1e-7  # deviation below which a channel counts as constant

Statistics = tuple[list[float], list[float]]


def statistics(
    options: Options, images: Source, frame: Frame, channels: int, device: torch.device
) -> Statistics:
    """Mean and deviation per channel of colours from 0 to 1, as `image_norm` asks for; raises DataError."""
    match options.image_norm:
        case "none":
            return [0.0] * channels, [1.0] * channels
        case "pretrained":
            mean, deviation = _pretrained(options)
            return _fitting(mean, channels), _fitting(deviation, channels)
    return moments(images, frame, channels, device)


def moments(images: Source, frame: Frame, channels: int, device: torch.device) -> Statistics:
    """Over all pixels of all images, as a frame shows them, summed up in float64."""
    count, sums = 0, torch.zeros(2, channels, dtype=torch.float64, device=device)
    order = torch.arange(images.shape[0], device=images.device)
    images.hint(order)
    for rows in torch.split(order, CHUNK):
        x = frame(unit(images.select(rows).to(device))).double()
        sums += torch.stack([x.sum((0, 2, 3)), x.square().sum((0, 2, 3))])
        count += x[:, 0].numel()
    mean, square = sums / count
    deviation = (square - mean.square()).clamp(min=0.0).sqrt()
    return mean.tolist(), torch.where(deviation > LEAST, deviation, 1.0).tolist()


def _pretrained(options: Options) -> tuple[Sequence[float], Sequence[float]]:
    """What the weights were trained with: those of a saved model, otherwise those of timm."""
    if options.pretrained not in ("", "true"):
        return _saved(options.pretrained)
    if options.model.startswith("timm:"):
        from hypersweep_trainer.model.library import statistics

        return statistics(options.model)
    raise DataError(
        "image_norm: pretrained needs a model of timm or a `pretrained` one, "
        f"but model is {options.model} and pretrained is unset"
    )


def _saved(place: str) -> tuple[Sequence[float], Sequence[float]]:
    from hypersweep_trainer.model.transfer import ABOUT, folder

    must = f"image_norm: pretrained needs a model of images in {place}"
    try:
        about = folder(place, os.environ)(ABOUT)
    except StoreRefused as error:
        raise DataError(f"{must}, but {error}") from None
    if about is None:
        raise DataError(f"{must}, but {ABOUT} is not there")
    encoding = json.loads(about)["encoding"]
    if "mean" not in encoding:
        raise DataError(f"{must}, but it holds no mean and deviation of images")
    return encoding["mean"], encoding["std"]


def _fitting(values: Sequence[float], channels: int) -> list[float]:
    """Values of other channels: grey is the middle of all colours, and every colour is like grey."""
    if len(values) == channels:
        return list(values)
    if 1 not in (len(values), channels):
        raise DataError(
            f"image_norm: pretrained needs images of {len(values)} channels, but these have {channels}"
        )
    return [sum(values) / len(values)] * channels
