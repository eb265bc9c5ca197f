"""Files of every kind of image become colour or grey of 8 bits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hypersweep_trainer.data import image
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.data.view import decoded
from tests.trainer.images import a_folder, seen

COLOUR, GREY = (200, 100, 50), 130  # (200, 100, 50) is grey 124 by the weights of ITU-R 601


def a_palette() -> Image.Image:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, *COLOUR])
    picture.info["transparency"] = bytes([255, 10])
    return picture


@pytest.mark.parametrize(
    ("picture", "name", "colour", "grey"),
    [
        (Image.new("RGB", (4, 4), COLOUR), "x.png", COLOUR, 124),
        (Image.new("RGB", (4, 4), COLOUR), "x.bmp", COLOUR, 124),
        (Image.new("RGB", (4, 4), COLOUR), "x.tiff", COLOUR, 124),
        (Image.new("RGBA", (4, 4), (*COLOUR, 7)), "x.png", COLOUR, 124),
        (a_palette(), "x.png", COLOUR, 124),
        (Image.new("RGB", (4, 4), COLOUR).quantize(2), "x.gif", COLOUR, 124),
        (Image.new("L", (4, 4), GREY), "x.png", (GREY,) * 3, GREY),
        (Image.new("LA", (4, 4), (GREY, 7)), "x.png", (GREY,) * 3, GREY),
        (Image.new("1", (4, 4), 1), "x.png", (255,) * 3, 255),
        (Image.fromarray(np.full((4, 4), GREY * 256 + 9, np.uint16)), "x.png", (GREY,) * 3, GREY),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_every_kind_of_image_becomes_colour_or_grey(
    tmp_path: Path, picture: Image.Image, name: str, colour: tuple[int, ...], grey: int
) -> None:
    picture.save(tmp_path / name)
    whole = image.Frame((4, 4))

    assert list(colour) == decoded(tmp_path / name, 3, whole)[:, 1, 2].tolist()
    assert [grey] == decoded(tmp_path / name, 1, whole)[:, 1, 2].tolist()


@pytest.mark.parametrize(("name", "error"), [("x.jpg", 3), ("x.webp", 8)])
def test_lossy_images_are_read_to_within_their_loss(tmp_path: Path, name: str, error: int) -> None:
    Image.new("RGB", (16, 16), COLOUR).save(tmp_path / name)
    read = decoded(tmp_path / name, 3, image.Frame((16, 16))).int()

    assert int((read - torch.tensor(COLOUR)[:, None, None]).abs().max()) <= error


def test_pixels_of_32_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "x.tiff")

    with pytest.raises(DataError, match=r"x\.tiff: must be an image, but its pixels have 32 bits"):
        decoded(tmp_path / "x.tiff", 1, image.Frame((4, 4)))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_a_folder_of_grey_images_has_one_channel(tmp_path: Path, mode: str, channels: int) -> None:
    raw = image.read(a_folder(tmp_path, mode=mode))

    assert (channels, 224, 224) == seen(raw).shape
    assert (1, channels, 224, 224) == seen(raw).val.take(torch.tensor([0]))[0].shape


def test_one_colour_image_makes_a_folder_coloured(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, mode="L")
    Image.new("RGB", (5, 5)).save(folder / "dog" / "z.png")

    assert 3 == image.read(folder).about["channels"]
