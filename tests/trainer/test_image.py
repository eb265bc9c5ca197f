"""Rows of images: what training takes, the same from files, from memory and in prediction."""

import json
from pathlib import Path

import pytest
import torch

from hypersweep_trainer.data import image
from hypersweep_trainer.data.raw import Resident
from hypersweep_trainer.data.stream import Finished, Streamed
from hypersweep_trainer.data.view import evaluation, opened
from tests.trainer.images import CPU, a_folder, a_split, everything, in_memory, seen, some_pixels


def test_prediction_sees_a_file_as_validation_does(tmp_path: Path) -> None:
    raw = image.read(a_folder(tmp_path))
    found = seen(raw, image_size=16, test_crop=0.8)
    encoding = json.loads(json.dumps(found.encoding))
    assert raw.files is not None
    x = torch.cat([opened(raw.files[row], encoding, CPU) for row in a_split(12).val])

    assert torch.equal(everything(found.val)[0], x)


def test_prediction_sees_pixels_as_validation_does() -> None:
    pixels = some_pixels(20, 3, 16, 16)
    found = seen(in_memory(pixels), test_crop=0.5, test_size=10)
    x = evaluation(found.encoding, CPU)(torch.from_numpy(pixels[a_split(20).val]))

    assert torch.equal(everything(found.val)[0], x)


def test_rows_to_augment_are_raw_and_normalising_them_gives_what_is_taken_without() -> None:
    raw = in_memory(some_pixels(20, 3, 16, 16))
    plain, augmented = seen(raw, image_size=12), seen(raw, image_size=12, flip=0.5)
    x, y = everything(augmented.train)

    assert (12, 3, 16, 16) == x.shape
    assert 0 <= float(x.min()) < float(x.max()) <= 1
    torch.testing.assert_close(everything(plain.train)[0], augmented.normalise(x))
    assert torch.equal(everything(plain.train)[1], y)
    assert torch.equal(everything(plain.val)[0], everything(augmented.val)[0])


def test_bytes_stay_bytes_in_memory_until_they_are_taken(tmp_path: Path) -> None:
    files = seen(image.read(a_folder(tmp_path)), image_size=16).train
    pixels = seen(in_memory(some_pixels(20, 3, 16, 16)), flip=0.5).train

    for rows in (files, pixels):
        assert isinstance(rows, Finished)
        assert torch.uint8 == rows.sources[0].dtype
        assert torch.float32 == everything(rows)[0].dtype


def test_random_crops_are_cut_from_files_that_are_larger_than_what_is_seen(tmp_path: Path) -> None:
    found = seen(image.read(a_folder(tmp_path)), random_resized_crop=0.3, image_size=56)
    x = everything(found.train)[0]

    assert (7, 3, 64, 64) == x.shape
    assert (7, *found.shape) == found.normalise(x).shape == (7, 3, 56, 56)


def test_targets_are_classes_numbers_or_the_image_itself() -> None:
    pixels = some_pixels(20, 1, 4, 4)
    rebuilt = seen(in_memory(pixels), target="reconstruction").train

    assert torch.int64 == everything(seen(in_memory(pixels)).train)[1].dtype
    assert torch.float32 == everything(seen(in_memory(pixels, "regression")).train)[1].dtype
    assert isinstance(rebuilt, Resident)
    assert rebuilt.x is rebuilt.y


def test_the_test_part_is_read_in_the_end_alone(tmp_path: Path) -> None:
    raw = image.read(a_folder(tmp_path))
    end = seen(raw, final=True, image_size=8)

    assert seen(raw, image_size=8).test is None
    assert end.test is not None
    assert (7, 2, 3) == tuple(map(len, (end.train, end.val, end.test)))
    assert raw.labels[a_split(12).test].tolist() == everything(end.test)[1].tolist()


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("more", [{}, {"flip": 0.5}, {"random_resized_crop": 0.5}])
def test_streamed_rows_are_those_in_memory_in_any_order(
    tmp_path: Path, workers: int, more: dict[str, float]
) -> None:
    raw = image.read(a_folder(tmp_path, 30))
    held, streamed = (
        seen(raw, final=True, image_size=16, resident=resident, loader_workers=workers, **more)
        for resident in ("device", "host")
    )
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(len(held.train), (5,), generator=generator) for _ in range(20)]
    assert isinstance(streamed.train, Streamed)
    streamed.train.hint(rows[3:])

    for chosen in rows:
        for one, other in zip(held.train.take(chosen), streamed.train.take(chosen), strict=True):
            assert torch.equal(one, other)
    for one, other in zip(everything(held.val), everything(streamed.val), strict=True):
        assert torch.equal(one, other)
    assert held.encoding == streamed.encoding
