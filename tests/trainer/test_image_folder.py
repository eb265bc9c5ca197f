"""Folders of images: classes, a digest, and files that are no images told before anything is trained."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hypersweep_trainer.data import image
from hypersweep_trainer.data.raw import DataError
from hypersweep_trainer.data.view import opened
from tests.trainer.images import CPU, a_folder, a_split, everything, in_memory, seen, some_pixels


def test_each_folder_is_a_class_and_all_images_below_it_are_its_rows(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, 4)
    (folder / "cat" / "more").mkdir()
    Image.new("RGB", (3, 3)).save(folder / "cat" / "more" / "x.JPG", "jpeg")
    (folder / "cat" / "notes.txt").write_text("no image")
    (folder / ".cache").mkdir()
    raw = image.read(folder)

    assert ("cat", "dog") == raw.names
    assert [0, 0, 0, 1, 1] == raw.labels.tolist()
    assert raw.files is not None
    assert ["01.png", "03.png", "x.JPG", "00.png", "02.png"] == [file.name for file in raw.files]


def test_the_digest_of_a_folder_knows_names_and_sizes_and_not_where_it_lies(tmp_path: Path) -> None:
    one, other = image.read(a_folder(tmp_path / "a")), image.read(a_folder(tmp_path / "b"))
    (tmp_path / "b" / "images" / "cat" / "01.png").rename(tmp_path / "b" / "images" / "cat" / "1.png")

    assert one.digest == other.digest != image.read(tmp_path / "b" / "images").digest


def no_folder(root: Path) -> Path:
    return root / "nowhere"


def a_file(root: Path) -> Path:
    (root / "file").write_text("")
    return root / "file"


def no_class(root: Path) -> Path:
    (root / "empty").mkdir()
    return root / "empty"


def one_class(root: Path) -> Path:
    (root / "one" / "cat").mkdir(parents=True)
    return root / "one"


def an_empty_class(root: Path) -> Path:
    (a_folder(root) / "eel").mkdir()
    return root / "images"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (no_folder, "nowhere: must be a folder .* but is not there"),
        (a_file, "file: must be a folder .* but is a file"),
        (no_class, "empty: must be a folder .* two at least, but holds none"),
        (one_class, "one: must be a folder .* two at least, but holds only cat"),
        (an_empty_class, "eel: must hold images .* but holds none"),
    ],
)
def test_a_wrong_folder_is_told_with_its_place(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        image.read(make(tmp_path))


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\n", b""])
@pytest.mark.parametrize("resident", ["device", "host"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes, resident: str) -> None:
    raw = image.read(a_folder(tmp_path))
    assert raw.files is not None
    file = raw.files[a_split(12).train[2]]
    file.write_bytes(content)

    with pytest.raises(DataError, match=rf"{file.parent.name}/{file.name}: must be an image, but"):
        everything(seen(raw, resident=resident, image_size=8, image_norm="none").train)


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\n", b""])
@pytest.mark.parametrize("name", ["cat/01.png", "dog/04.png", "dog/10.png"])
def test_a_file_that_is_no_image_is_named_before_anything_is_trained_whatever_it_is_for(
    tmp_path: Path, content: bytes, name: str
) -> None:
    folder = a_folder(tmp_path)
    (folder / name).write_bytes(content)

    with pytest.raises(DataError, match=rf"{name}: must be an image, but"):
        image.read(folder)


def test_pixels_of_32_bits_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    Image.fromarray(np.ones((4, 4), np.float32)).save(folder / "dog" / "z.tiff")

    with pytest.raises(DataError, match=r"dog/z\.tiff: must be an image, but its pixels have 32 bits"):
        image.read(folder)


def test_every_file_of_a_large_folder_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "CHUNK", 2)
    opened: list[Path] = []

    def noted(file: Path) -> bool:
        opened.append(file)
        return False

    monkeypatch.setattr(image, "grey", noted)
    raw = image.read(a_folder(tmp_path))
    assert raw.files is not None

    assert sorted(raw.files) == sorted(opened)


def test_half_an_image_is_none(tmp_path: Path) -> None:
    whole = (a_folder(tmp_path) / "cat" / "01.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(DataError, match=r"half\.png: must be an image, but image file is truncated"):
        opened(tmp_path / "half.png", seen(in_memory(some_pixels(9, 3, 4, 4))).encoding, CPU)
