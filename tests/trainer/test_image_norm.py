"""Mean and deviation of images: of the training rows alone, or of pre-trained weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.data import resolve_model_data_config

from hypersweep_trainer.data.raw import DataError
from tests.trainer.images import a_split, everything, in_memory, seen, some_pixels


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [0, 12])
def test_dataset_statistics_are_those_of_the_training_rows_alone(kind: type[Any], size: int) -> None:
    pixels = some_pixels(300, 3, 8, 10)
    pixels[:, 1] //= 3
    raw = in_memory(pixels if kind is np.uint8 else pixels.astype(np.float32) / 255)
    found = seen(raw, image_size=size)
    x = everything(found.train)[0].double()

    assert float(x.mean((0, 2, 3)).abs().max()) < 1e-4
    assert float((x.std((0, 2, 3), correction=0) - 1).abs().max()) < 1e-3
    assert float(everything(found.val)[0].mean((0, 2, 3)).abs().max()) > 1e-3


def test_statistics_are_exact_sums_so_that_every_rank_has_the_same() -> None:
    pixels = some_pixels(300, 3, 8, 10)
    reference = pixels[a_split(300).train].astype(np.float32) / np.float32(255)
    changed = pixels.copy()
    changed[a_split(300).val] = 255
    found = [seen(in_memory(data)).encoding for data in (pixels, changed)]

    np.testing.assert_allclose(found[0]["mean"], reference.mean((0, 2, 3), np.float64), rtol=1e-12)
    np.testing.assert_allclose(found[0]["std"], reference.std((0, 2, 3), np.float64), rtol=1e-12)
    assert found[0] == found[1]


def test_a_constant_channel_is_zero_and_not_infinite() -> None:
    pixels = some_pixels(50, 3, 4, 4)
    pixels[:, 2] = 77
    x = everything(seen(in_memory(pixels)).train)[0]

    assert float(x[:, 2].abs().max()) < 1e-6


def test_without_normalisation_pixels_go_from_0_to_1() -> None:
    pixels = some_pixels(20, 3, 4, 4)
    found = seen(in_memory(pixels), image_norm="none")

    torch.testing.assert_close(
        everything(found.train)[0], torch.from_numpy(pixels[a_split(20).train]) / 255, rtol=0, atol=0
    )


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_pretrained_statistics_are_those_of_the_weights_whatever_the_data(name: str) -> None:
    known = resolve_model_data_config(timm.create_model(name))
    pixels = some_pixels(20, 3, 4, 4)
    found = seen(in_memory(pixels), image_norm="pretrained", model=f"timm:{name}")
    mean, deviation = (torch.tensor(known[key])[:, None, None] for key in ("mean", "std"))

    assert (list(known["mean"]), list(known["std"])) == (found.encoding["mean"], found.encoding["std"])
    assert known["mean"] != seen(in_memory(pixels)).encoding["mean"]
    torch.testing.assert_close(
        everything(found.train)[0],
        (torch.from_numpy(pixels[a_split(20).train]) / 255 - mean) / deviation,
    )


def a_model(root: Path, **encoding: Any) -> str:
    (root / "model.json").write_text(json.dumps({"encoding": encoding}))
    return f"{root}/"


def test_a_saved_model_carries_its_statistics(tmp_path: Path) -> None:
    place = a_model(tmp_path, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    colour, grey = (
        seen(in_memory(some_pixels(20, channels, 4, 4)), image_norm="pretrained", pretrained=place).encoding
        for channels in (3, 1)
    )

    assert ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]) == (colour["mean"], colour["std"])
    np.testing.assert_allclose([grey["mean"], grey["std"]], [[0.2], [0.5]])


def test_pretrained_statistics_that_are_not_there_are_told(tmp_path: Path) -> None:
    raw = in_memory(some_pixels(20, 4, 4, 4))
    table = a_model(tmp_path, columns=["x0"])
    (tmp_path / "rgb").mkdir()
    colours = a_model(tmp_path / "rgb", mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])

    for words, options in {
        "needs a model of timm or a `pretrained` one, but model is mlp": {},
        "holds no mean and deviation of images": {"pretrained": table},
        "model.json is not there": {"pretrained": f"{tmp_path}/else"},
        "needs images of 3 channels, but these have 4": {"pretrained": colours},
    }.items():
        with pytest.raises(DataError, match=words):
            seen(raw, image_norm="pretrained", **options)
