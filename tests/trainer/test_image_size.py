"""Sizes of images: how one is reached, and what evaluation sees at its own."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.flop_counter import FlopCounterMode

from hypersweep_trainer.data import image
from tests.trainer.images import a_folder, a_split, everything, in_memory, seen, some_pixels


def a_network() -> nn.Module:
    conv = nn.Conv2d(3, 8, 3, padding=1, stride=2)
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))


def flops(network: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        network(x)
    return int(counter.get_total_flops())


def test_images_of_every_size_run_on_one_network_and_cost_by_their_area(tmp_path: Path) -> None:
    raw, network = image.read(a_folder(tmp_path)), a_network()
    x = {size: everything(seen(raw, image_size=size).val)[0] for size in (112, 120, 224, 512)}

    assert all((2, 3, size, size) == images.shape for size, images in x.items())
    assert all((2, 2) == network(images).shape for images in x.values())
    assert abs(flops(network, x[224]) / flops(network, x[112]) - 4) <= 0.08


def test_a_size_is_reached_bilinearly_with_antialiasing() -> None:
    pixels = some_pixels(20, 3, 40, 30)
    found = seen(in_memory(pixels), image_size=16, image_norm="none")
    x = torch.from_numpy(pixels[a_split(20).val]) / 255

    torch.testing.assert_close(
        everything(found.val)[0], interpolate(x, (16, 16), mode="bilinear", antialias=True)
    )


def test_files_reach_a_size_as_pixels_do_to_one_level_of_brightness(tmp_path: Path) -> None:
    raw = image.read(a_folder(tmp_path))
    assert raw.files is not None
    pixels = np.stack([np.asarray(Image.open(file)).transpose(2, 0, 1) for file in raw.files])
    options = {"image_size": 16, "image_norm": "none"}
    files, memory = (everything(seen(data, **options).train)[0] for data in (raw, in_memory(pixels)))

    assert float((files - memory).abs().max()) <= 1 / 255


def test_evaluation_sees_the_middle_at_its_own_size() -> None:
    pixels = some_pixels(20, 3, 16, 16)
    found = seen(in_memory(pixels), image_norm="none", test_crop=0.5, test_size=8)
    x = torch.from_numpy(pixels[a_split(20).val]) / 255

    torch.testing.assert_close(everything(found.val)[0], x[:, :, 4:12, 4:12])
    assert (3, 16, 16) == found.shape == everything(found.train)[0].shape[1:]


def test_evaluation_of_files_cuts_and_scales_to_its_own_size(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, side=(20, 40))
    options = {"image_norm": "none", "test_crop": 0.5, "test_size": 10, "image_size": 8}
    raw = image.read(folder)
    found = seen(raw, final=True, **options)
    assert raw.files is not None
    assert found.test is not None
    first = np.asarray(Image.open(raw.files[a_split(12).test[0]]))[5:15, 10:30].transpose(2, 0, 1) / 255
    expected = interpolate(torch.from_numpy(first)[None], (10, 10), mode="bilinear", antialias=True)

    assert float((found.test.take(torch.tensor([0]))[0] - expected).abs().max()) <= 1 / 255
    assert (3, 8, 8) == found.shape
