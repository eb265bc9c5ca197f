"""Data sets that are generated: all by the number of rows, the noise and a seed."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.counter import draw
from hypersweep_trainer.data import language
from hypersweep_trainer.data.digest import digest
from hypersweep_trainer.data.raw import Raw
from hypersweep_trainer.options import Options

SIDE, CHANNELS, CLASSES = 32, 3, 10  # of the images
WAVES = [(across, down) for across in range(3) for down in range(3) if across or down]
CONTRAST, GRAIN = 40.0, 16  # brightness levels of 256: deviation of the waves, spread of the fine grain
COLOURS = ("blue", "green", "red", "white")
GAPS = 0.05  # share of the cells that are empty


def read(options: Options) -> Raw:
    """The generated data set that `data` names."""
    return GENERATORS[options.data](
        options, np.random.default_rng(draw(options.data, options.synthetic_seed))
    )


def images(options: Options, random: np.random.Generator) -> Raw:
    """Images (n, 3, 32, 32) of ten classes with waves of their own; noise is waves of an image's own."""
    count = options.synthetic_rows
    labels = random.permutation(np.arange(count) % CLASSES)
    basis = _waves()
    size = (CHANNELS, len(basis))
    mixture = random.standard_normal((CLASSES, *size), np.float32)[labels]
    mixture += options.synthetic_noise * random.standard_normal((count, *size), np.float32)
    mixture *= CONTRAST / np.sqrt(
        len(basis) / 2 * (1 + options.synthetic_noise**2)
    )  # a wave has variance 1/2
    levels = mixture.reshape(-1, len(basis)) @ basis
    levels += random.integers(128 - GRAIN // 2, 128 + GRAIN // 2, levels.shape, np.uint8)
    pixels = levels.clip(0, 255).astype(np.uint8).reshape(count, CHANNELS, SIDE, SIDE)
    names = tuple(f"pattern {label}" for label in range(CLASSES))
    return Raw("image", "classification", labels, digest(pixels, labels), names, pixels=pixels)


def _waves() -> NDArray[np.float32]:
    """Sines and cosines over the image, (waves, 32 * 32)."""
    down, across = np.mgrid[:SIDE, :SIDE].reshape(2, -1) / SIDE
    phase = [2 * np.pi * (wave[0] * across + wave[1] * down) for wave in WAVES]
    return np.concatenate([np.sin(phase), np.cos(phase)]).astype(np.float32)


def table(options: Options, random: np.random.Generator) -> Raw:
    """Seven columns of numbers on scales of their own, three of text, and three classes of equal size.

    Classes are thirds of a score to which numbers and categories contribute alike, plus noise.
    """
    count = options.synthetic_rows
    z = random.standard_normal((3, count))
    colour = random.integers(0, len(COLOURS), count)
    region = random.integers(0, 20, count)
    product = np.minimum(random.geometric(0.03, count), 200)  # few are frequent, most are rare
    member = random.random(count) < 0.3
    score = z[0] - z[1] + np.sin(2 * z[2]) + np.where(member, 1.0, -0.4) * random.standard_normal(4)[colour]
    score += random.standard_normal(20)[region] + random.standard_normal(201)[product]
    score += options.synthetic_noise * random.standard_normal(count)
    labels = np.argsort(np.argsort(score)) * 3 // count
    columns: dict[str, NDArray[Any]] = {
        "height": 170 + 10 * z[0],
        "income": np.exp(10 + z[1]),
        "ratio": 1e-3 * z[2],
        "age": random.integers(18, 91, count).astype(np.float64),
        "visits": random.poisson(3, count).astype(np.float64),
        "member": member.astype(np.float64),
        "unit": np.ones(count),
        "colour": np.array(COLOURS, object)[colour],
        "region": np.array([f"region {number}" for number in range(20)], object)[region],
        "product": np.array([f"product {number}" for number in range(201)], object)[product],
    }
    for cells in columns.values():
        cells[random.random(count) < GAPS] = None if cells.dtype == object else np.nan
    return _table(columns, labels, "classification", ("low", "middle", "high"))


def curve(options: Options, random: np.random.Generator) -> Raw:
    """A positive number, e to the power of 1 + sin(2 x) + z / 2, from x and z; noise multiplies it."""
    count = options.synthetic_rows
    x, z = random.uniform(-3, 3, count), random.standard_normal(count)
    exponent = 1 + np.sin(2 * x) + z / 2 + 0.2 * options.synthetic_noise * random.standard_normal(count)
    return _table({"x": x, "z": z}, np.exp(exponent), "regression")


def _table(
    columns: Mapping[str, NDArray[Any]], labels: NDArray[Any], target: str, names: tuple[str, ...] = ()
) -> Raw:
    total = digest(list(columns), *columns.values(), labels)
    return Raw("tabular", target, labels, total, names, columns=columns)


GENERATORS: Mapping[str, Callable[[Options, np.random.Generator], Raw]] = {
    "synthetic_images": images,
    "synthetic_table": table,
    "synthetic_curve": curve,
    "markov": language.markov,
    "brackets": language.brackets,
}
