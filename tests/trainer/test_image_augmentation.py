"""What images undergo one by one: geometry, colours, erasing; checked against torchvision and kornia."""

import numpy as np
import pytest
import torch
from kornia.enhance import adjust_hue
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms.v2 import InterpolationMode, functional

from hypersweep_trainer.augment import colour
from hypersweep_trainer.augment.affine import maps, warped
from hypersweep_trainer.augment.geometry import moved
from hypersweep_trainer.options import OPTIONS
from tests.trainer.augmenting import a_form, augmented, draws, images

LEVEL = 1 / 255


def changed(x: Tensor, found: Tensor) -> Tensor:
    """Which rows are not as they were, (n,)."""
    return (x != found).flatten(1).any(1)


@pytest.mark.parametrize(("name", "axis"), [("flip", 3), ("flip_vertical", 2)])
def test_flips_never_at_0_always_at_1_and_twice_is_not_at_all(name: str, axis: int) -> None:
    x = images(400, 3, 8, 10)
    once = augmented(x, **{name: 1.0}).x

    assert torch.equal(x, augmented(x, **{name: 0.0}).x)
    assert torch.equal(x.flip(axis), once)
    assert torch.equal(x, augmented(once, **{name: 1.0}).x)
    assert pytest.approx(0.5, abs=0.1) == float(changed(x, augmented(x, **{name: 0.5}).x).float().mean())


def test_a_crop_is_one_of_all_windows_of_the_reflected_image() -> None:
    x = images(1, 3, 6, 5)
    around = pad(x, (2, 2, 2, 2), mode="reflect")[0]
    windows = torch.stack([around[:, i : i + 6, j : j + 5] for i in range(5) for j in range(5)]).flatten(1)
    found = augmented(x.expand(2000, -1, -1, -1), crop_pad=2).x.flatten(1)
    counts = (found[:, None] == windows[None]).all(2).sum(0)

    assert 2000 == counts.sum()
    assert 40 <= counts.min() <= counts.max() <= 125  # 80 are expected


def test_a_shift_may_be_larger_than_the_image() -> None:
    x = images(32, 1, 4, 1)
    found = moved(x, draws(32), 0.5, 0.5, 100)

    assert (found[..., None] == x[:, :, None, None, :, 0]).any(-1).all()


@pytest.mark.parametrize("zoom", [0.8, 1.0, 1.3])
@pytest.mark.parametrize("degrees", [-33.0, 0.0, 12.5, 90.0])
def test_a_map_of_images_is_torchvisions(degrees: float, zoom: float) -> None:
    x, angle = images(4, 3, 24, 32), np.radians([degrees])
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    found = warped(x, maps([[cos, -sin, 0 * cos], [sin, cos, 0 * cos]]).repeat(4, 0), "zeros")
    expected = functional.affine(
        x, -degrees, [0, 0], zoom, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR
    )

    assert (found - expected).abs().max() <= 1e-3


def slopes(size: int, count: int, **options: float) -> tuple[Tensor, Tensor]:
    """How the source of many images' middle moves with a step down and a step across: (n, 2), (n, 2)."""
    lines = torch.arange(size).float().view(-1, 1).expand(size, size)
    x = torch.stack([lines, lines.T]).expand(count, 2, size, size)
    found = augmented(x, **options).x
    middle = size // 2
    here = found[:, :, middle, middle]
    return found[:, :, middle + 1, middle] - here, found[:, :, middle, middle + 1] - here


def test_rotation_is_uniform_up_to_its_limit_and_keeps_the_scale() -> None:
    down, across = slopes(17, 3000, rotate=20.0)
    angles = torch.rad2deg(torch.atan2(across[:, 0], across[:, 1]))

    assert (down.norm(dim=1) - 1).abs().max() < 1e-3
    assert (across.norm(dim=1) - 1).abs().max() < 1e-3
    assert 19 < angles.max() <= 20.01
    assert -20.01 <= angles.min() < -19
    assert abs(angles.mean()) < 0.8
    assert pytest.approx(20 / 3**0.5, rel=0.03) == float(angles.std())


def test_zoom_changes_both_sides_by_one_scale_up_to_its_limit() -> None:
    down, across = slopes(17, 3000, zoom=0.2)
    scale = 1 / down[:, 0]

    torch.testing.assert_close(down[:, 0], across[:, 1], atol=1e-4, rtol=0)
    assert max(down[:, 1].abs().max(), across[:, 0].abs().max()) < 1e-4
    assert 0.799 < scale.min() < 0.81
    assert 1.19 < scale.max() < 1.201
    assert pytest.approx(1, abs=0.01) == float(scale.mean())


@pytest.mark.parametrize("least", [0.08, 0.5])
def test_a_random_resized_crop_keeps_its_share_of_the_area_and_its_ratio(least: float) -> None:
    down, across = slopes(17, 3000, random_resized_crop=least)
    area, ratio = down[:, 0] * across[:, 1], across[:, 1] / down[:, 0]

    assert least - 1e-3 < area.min() < least + 0.02
    assert 0.98 < area.max() < 1.001
    assert pytest.approx((1 + least) / 2, abs=0.02) == float(area.mean())
    assert 0.749 < ratio.min() < 0.77
    assert 1.3 < ratio.max() < 1.334
    assert abs(ratio.log().mean()) < 0.02
    assert max(down[:, 1].abs().max(), across[:, 0].abs().max()) < 1e-4


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (20, 20)])
def test_a_random_resized_crop_never_leaves_the_image(shape: tuple[int, int]) -> None:
    lines = torch.linspace(0, 1, shape[0]).view(-1, 1).expand(shape)
    columns = torch.linspace(0, 1, shape[1]).expand(shape)
    x = torch.stack([lines, columns]).expand(500, 2, *shape)
    found = augmented(x, random_resized_crop=0.08).x

    assert (found[:, 0].diff(dim=1) >= -1e-6).all()  # a reflection would turn round
    assert (found[:, 1].diff(dim=2) >= -1e-6).all()
    assert (found[:, 0, 0, 0] < 0.02).any()
    assert (found[:, 0, -1, 0] > 0.98).any()


def test_a_crop_of_the_whole_area_is_the_image() -> None:
    x = images(16)

    torch.testing.assert_close(x, augmented(x, random_resized_crop=1.0).x, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match=r"from 0 to 0\.99"):  # so it is none of the values to choose from
        OPTIONS["random_resized_crop"].accept(1.0)


@pytest.mark.parametrize("factor", [0.2, 1.0, 1.7])
def test_brightness_contrast_and_saturation_are_torchvisions(factor: float) -> None:
    x, factors = images(4), torch.full((4, 1, 1, 1), factor)

    for ours, theirs in (
        (colour.brightness, functional.adjust_brightness),
        (colour.contrast, functional.adjust_contrast),
        (colour.saturation, functional.adjust_saturation),
        (colour.sharpness, functional.adjust_sharpness),
    ):
        torch.testing.assert_close(ours(x, factors), theirs(x, factor), atol=1e-5, rtol=0)


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 0.3])
def test_hue_is_torchvisions(turn: float) -> None:
    x = images(4)
    x[0, :, :4], x[0, 1:, 4:8], x[0, :, 8:12] = 0.5, 0.0, 1.0  # grey, red and white

    found = colour.hue(x, torch.full((4, 1, 1, 1), turn))
    torch.testing.assert_close(found, functional.adjust_hue(x, turn), atol=1e-5, rtol=0)


def test_the_hue_of_each_image_turns_by_itself_as_kornias() -> None:
    x, turns = images(16), torch.linspace(-0.5, 0.5, 16)

    expected = adjust_hue(x, turns * 2 * torch.pi)
    torch.testing.assert_close(colour.hue(x, turns.view(-1, 1, 1, 1)), expected, atol=1e-4, rtol=0)


def test_jitter_changes_colours_within_its_limits_and_each_image_by_itself() -> None:
    grey = torch.full((2000, 3, 4, 4), 0.5)
    factors = (
        augmented(grey, jitter=0.4).x[:, 0, 0, 0] / 0.5
    )  # of brightness alone: the rest leaves grey as it is

    assert 0.599 < factors.min() < 0.61
    assert 1.39 < factors.max() < 1.401
    assert pytest.approx(1, abs=0.02) == float(factors.mean())
    assert torch.equal(grey, augmented(grey, jitter=0.0).x)


def test_jitter_turns_the_hue_by_up_to_a_quarter_of_its_strength() -> None:
    red = torch.tensor([0.5, 0.25, 0.25]).view(3, 1, 1).expand(2000, 3, 4, 4)
    found = augmented(red, jitter=0.4).x[:, :, 0, 0]
    turns = (found[:, 1] - found[:, 2]) / (found.amax(1) - found.amin(1)) / 6

    assert (found.argmax(1) == 0).all()
    assert 0.098 < turns.max() < 0.1001
    assert -0.1001 < turns.min() < -0.098


@pytest.mark.parametrize("channels", [1, 2])
def test_jitter_of_images_without_colours_changes_brightness_and_contrast(channels: int) -> None:
    x = 0.3 * images(16, channels, 8, 8) + 0.25  # far from what would be cut off
    found = augmented(x, jitter=0.4).x

    assert x.shape == found.shape
    assert changed(x, found).all()
    for one, other in zip(x.flatten(1), found.flatten(1), strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.9999  # a straight line


def test_erasing_sets_one_rectangle_to_zero_always_at_1_never_at_0() -> None:
    x = images(2000, 3, 32, 32) + 0.01
    found = augmented(x, erase=1.0).x
    erased = (found == 0).all(1)
    lines, columns = erased.any(2), erased.any(1)
    area, ratio = erased.float().mean((1, 2)), lines.sum(1) / columns.sum(1)

    assert torch.equal(found, torch.where(erased[:, None], 0, x))
    assert torch.equal(lines[:, :, None] & columns[:, None, :], erased)
    for edge in (lines, columns):
        assert (edge.int().diff(dim=1).abs().sum(1) <= 2).all()
        assert edge.float().mean(0).min() > 0.04  # everywhere
    assert 0.01 < area.min() < 0.03
    assert 0.31 < area.max() < 0.36
    assert pytest.approx(0.175, abs=0.01) == float(area.mean())
    assert 0.2 < ratio.min() < 0.4 < 2.5 < ratio.max() < 4.5
    assert torch.equal(x, augmented(x, erase=0.0).x)
    assert pytest.approx(0.3, abs=0.03) == float(changed(x, augmented(x, erase=0.3).x).float().mean())


def test_images_are_erased_after_they_are_normalised_and_rebuilt_without_that() -> None:
    x = images(8)
    batch = augmented(
        x, x, form=a_form(x, "reconstruction"), flip=1.0, erase=1.0, normalise=lambda x: x * 4 - 9
    )

    torch.testing.assert_close(x.flip(3) * 4 - 9, batch.y)
    assert (batch.x[changed(batch.x, batch.y)] == 0).any(1).flatten(1).any(1).all()
    assert torch.equal(batch.y[batch.x != 0], batch.x[batch.x != 0])


@pytest.mark.parametrize("size", [1, 8, 28, 120, 224])
def test_images_of_any_size_keep_it(size: int) -> None:
    x = images(2, 3, size, size)
    batch = augmented(
        x, random_resized_crop=0.3, flip=0.5, crop_pad=4, rotate=20.0, zoom=0.2, jitter=0.4, erase=0.5,
        rand_augment_n=2, cutmix_alpha=1.0,
    )  # fmt: skip

    assert (x.shape, torch.float32) == (batch.x.shape, batch.x.dtype)
    assert 0 <= batch.x.min() <= batch.x.max() <= 1


def test_a_network_may_see_another_size_than_images_have() -> None:
    x = images(4)
    smaller = augmented(
        x, flip=0.5, erase=1.0, mixup_alpha=1.0, cutmix_alpha=1.0,
        normalise=lambda x: torch.nn.functional.interpolate(x, (16, 16)),
    )  # fmt: skip
    assert smaller.other is not None

    assert (4, 3, 16, 16) == smaller.x.shape == smaller.other.shape
