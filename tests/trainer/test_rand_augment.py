"""RandAugment: each operation is torchvision's, and each image undergoes operations of its own."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, functional

from hypersweep_trainer.augment.rand import OPERATIONS, drawn, operated, rand_augment
from tests.trainer.augmenting import augmented, draws, images

MOVING = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"}
ONE_WAY = {
    "Identity",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
}  # whose magnitude has no direction
EXACT = {"Identity", "Posterize", "Solarize", "Equalize"}  # which give one of 256 levels
LEVEL = 1 / 255


def only(name: str, x: Tensor, magnitude: float) -> Tensor:
    """Every image after one operation."""
    operations = np.full((len(x), 1), OPERATIONS.index(name))
    return operated(x, operations, np.full((len(x), 1), magnitude))


def affine(x: Tensor, **change: object) -> Tensor:
    still = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    return functional.affine(x, **{**still, **change}, interpolation=InterpolationMode.BILINEAR)


def theirs(name: str, x: Tensor, magnitude: float) -> Tensor:
    """torchvision's own functions, with the limits of its RandAugment at magnitude 30."""
    m, side = magnitude / 30, x.shape[-1]
    shear, shift = float(np.degrees(np.arctan(0.3 * m))), int(150 / 331 * side * m)
    table: dict[str, Callable[[Tensor], Tensor]] = {
        "Identity": lambda x: x,
        "ShearX": lambda x: affine(x, shear=[shear, 0.0], center=[0, 0]),
        "ShearY": lambda x: affine(x, shear=[0.0, shear], center=[0, 0]),
        "TranslateX": lambda x: affine(x, translate=[shift, 0]),
        "TranslateY": lambda x: affine(x, translate=[0, shift]),
        "Rotate": lambda x: functional.rotate(x, 30 * m, interpolation=InterpolationMode.BILINEAR),
        "Brightness": lambda x: functional.adjust_brightness(x, 1 + 0.9 * m),
        "Color": lambda x: functional.adjust_saturation(x, 1 + 0.9 * m),
        "Contrast": lambda x: functional.adjust_contrast(x, 1 + 0.9 * m),
        "Sharpness": lambda x: functional.adjust_sharpness(x, 1 + 0.9 * m),
        "Posterize": lambda x: functional.posterize(x, 8 - round(4 * m)),
        "Solarize": lambda x: functional.solarize(x, 255 * (1 - m)),
        "AutoContrast": functional.autocontrast,
        "Equalize": functional.equalize,
    }
    if name in MOVING:
        return table[name](x)
    return table[name]((x * 255).round().to(torch.uint8)).float() / 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_torchvisions(name: str, channels: int) -> None:
    x = images(4, channels)
    sizes = (3.0, 9.0, 13.5, 30.0)

    for magnitude in sizes if name in ONE_WAY else (*sizes, *(-size for size in sizes)):
        expected, found = theirs(name, x, magnitude), only(name, x, magnitude)
        assert (found - expected).abs().max() <= (1e-6 if name in EXACT else 2 * LEVEL), magnitude


def test_each_operation_that_has_an_effect_has_one() -> None:
    x = images(4)

    assert ["Identity"] == [name for name in OPERATIONS if torch.equal(x, only(name, x, 20.0))]


@pytest.mark.parametrize("name", OPERATIONS[:12])
def test_operations_without_magnitude_leave_images_as_they_are(name: str) -> None:
    x = images(4)
    x[0, :, :2], x[0, :, 2:4] = 0, 1  # black and white too

    assert (only(name, x, 0.0) - x).abs().max() <= LEVEL


def test_flat_and_tiny_images_stay_as_they_are_where_there_is_nothing_to_stretch() -> None:
    flat, tiny = torch.full((2, 3, 8, 8), 0.25), images(2, 1, 2, 2)

    torch.testing.assert_close(only("AutoContrast", flat, 9), flat)
    torch.testing.assert_close(only("Equalize", tiny, 9), tiny)
    torch.testing.assert_close(only("Sharpness", tiny, 9), tiny)


def test_without_operations_images_stay_as_they_are() -> None:
    x = images(8)

    assert torch.equal(x, rand_augment(x, draws(8), 0, 9.0, 0.5))


def test_equal_images_become_different_ones() -> None:
    x = images(1).expand(64, -1, -1, -1)
    found = augmented(x, rand_augment_n=2, rand_augment_m=9.0).x

    assert len(torch.unique(found.flatten(1), dim=0)) >= 48  # of 196 pairs of operations; 8 is the least


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (4, 9, 17), (1, 1, 1)])
def test_images_keep_their_shape_type_and_range_at_the_strongest(shape: tuple[int, int, int]) -> None:
    x = images(64, *shape)
    found = augmented(x, rand_augment_n=3, rand_augment_m=30.0, rand_augment_std=10.0).x

    assert (x.shape, torch.float32) == (found.shape, found.dtype)
    assert 0 <= found.min() <= found.max() <= 1


def test_operations_are_equally_frequent_and_go_either_way() -> None:
    operations, magnitudes = drawn(draws(14_000), 2, 9.0, 0.0)
    frequencies = np.bincount(operations.ravel(), minlength=14) / operations.size

    assert len(OPERATIONS) == len(frequencies)
    assert abs(frequencies - 1 / 14).max() < 0.006  # four deviations
    assert abs((magnitudes > 0).mean() - 0.5) < 0.01
    assert {-9.0, 9.0} == set(magnitudes.ravel())


def test_magnitudes_vary_by_their_deviation_and_stay_in_their_range() -> None:
    sizes, strong = (abs(drawn(draws(10_000), 2, mean, 2.0)[1]) for mean in (15.0, 29.0))

    assert pytest.approx(15, abs=0.1) == sizes.mean()
    assert pytest.approx(2, rel=0.05) == sizes.std()
    assert 30 == strong.max()
    assert abs((strong == 30).mean() - 0.3085) < 0.02  # the share of a normal distribution above 0.5


def test_an_image_undergoes_the_same_in_any_company() -> None:
    x = images(14)
    whole = rand_augment(x, draws(14), 3, 15.0, 1.0)
    alone = [rand_augment(x[i : i + 1], draws(14, places=slice(i, i + 1)), 3, 15.0, 1.0) for i in range(14)]

    assert torch.equal(whole, torch.cat(alone))
