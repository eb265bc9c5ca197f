"""Images: folders of files, what the network sees of them, statistics of training rows, streaming."""

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.flop_counter import FlopCounterMode

from hypersweep_trainer.data import image, room
from hypersweep_trainer.data.raw import DataError, Raw, Resident, Rows
from hypersweep_trainer.data.reader import Reader
from hypersweep_trainer.data.room import Room, free
from hypersweep_trainer.data.split import Split
from hypersweep_trainer.data.stream import Finished, Streamed
from hypersweep_trainer.data.view import decoded, evaluation, opened
from hypersweep_trainer.options import Options

CPU = torch.device("cpu")
Pixels = NDArray[np.uint8]


def some_pixels(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 200, shape, np.uint8)


def in_memory(pixels: NDArray[Any], target: str = "classification") -> Raw:
    labels: NDArray[Any] = np.arange(len(pixels)) % 2
    return Raw("image", target, labels if target == "classification" else labels / 2, "", pixels=pixels)


def a_folder(root: Path, count: int = 12, side: tuple[int, int] = (20, 30), mode: str = "RGB") -> Path:
    """Two classes of images whose pixels are known: `expected` reads them back."""
    for number in range(count):
        folder = root / "images" / ("dog", "cat")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shape = side if mode == "L" else (*side, 3)
        Image.fromarray(some_pixels(*shape, seed=number)).save(folder / f"{number:02d}.png")
    return root / "images"


def a_split(count: int) -> Split:
    """Six tenths of the rows train, two validate, two test; not in order."""
    order = np.random.default_rng(1).permutation(count)
    one, other = count * 6 // 10, count * 8 // 10
    return Split(order[:one], order[one:other], order[other:])


def seen(raw: Raw, final: bool = False, **options: Any) -> image.ImageParts:
    return image.parts(raw, a_split(len(raw.labels)), Options(**options), CPU, final)


def everything(rows: Rows) -> tuple[Tensor, Tensor]:
    return rows.take(torch.arange(len(rows)))


# folders


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


# decoding

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


# normalisation


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


# sizes


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


# what training takes


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


# streaming


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
    streamed.train.hint(torch.cat(rows[3:]))

    for chosen in rows:
        for one, other in zip(held.train.take(chosen), streamed.train.take(chosen), strict=True):
            assert torch.equal(one, other)
    for one, other in zip(everything(held.val), everything(streamed.val), strict=True):
        assert torch.equal(one, other)
    assert held.encoding == streamed.encoding


class Numbers:
    """Images that know their number, and which of them were read."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.enough = threading.Event()
        self.wanted = 0

    def __call__(self, row: int) -> Tensor:
        self.read.append(row)
        if len(self.read) >= self.wanted:
            self.enough.set()
        return torch.full((1, 2, 2), row, dtype=torch.uint8)


def test_a_hint_reads_ahead_as_far_as_there_is_room() -> None:
    reader = Numbers()
    reader.wanted = 64
    images = Reader(reader, (200, 1, 2, 2), torch.uint8, 2)
    images.hint(torch.arange(200).flip(0))

    assert reader.enough.wait(20)
    images.select(torch.tensor([199, 198]))
    assert set(range(199, 133, -1)) >= set(reader.read) >= set(range(199, 135, -1))


def test_an_epoch_reads_each_image_once_also_where_batches_ask_for_it_twice() -> None:
    reader, order = Numbers(), torch.randperm(200, generator=torch.Generator().manual_seed(0))
    images = Reader(reader, (200, 1, 2, 2), torch.uint8, 3)
    images.hint(order)

    for batch in order.split(40):
        for rows in (batch, batch.flip(0), batch[:7].repeat(2)):
            assert torch.equal(rows, images.select(rows)[:, 0, 0, 0].long())
    assert list(range(200)) == sorted(reader.read)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_could_not_be_read_once_is_read_again(workers: int) -> None:
    failures = [OSError("the disk is away")]

    def read(row: int) -> Tensor:
        if row == 3 and failures:
            raise failures.pop()
        return torch.full((1, 2, 2), row, dtype=torch.uint8)

    images = Reader(read, (200, 1, 2, 2), torch.uint8, workers)
    images.hint(torch.arange(200))
    batch = torch.arange(5)

    with pytest.raises(OSError, match="the disk is away"):
        images.select(batch)
    assert torch.equal(batch, images.select(batch)[:, 0, 0, 0])
    assert torch.equal(batch + 5, images.select(batch + 5)[:, 0, 0, 0])


def test_a_new_hint_replaces_the_old_one() -> None:
    images = Reader(Numbers(), (200, 1, 2, 2), torch.uint8, 2)
    images.hint(torch.arange(200))
    images.hint(torch.arange(100, 200))

    assert [100, 0, 199] == images.select(torch.tensor([100, 0, 199]))[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("left", "kinds"),
    [
        (10_000_000, [Finished, Finished]),
        (12 * 30 * 200, [Finished, Finished]),  # 10 % of it are 36 images with their labels
        (8 * 30 * 200, [Streamed, Finished]),  # 24 images: those for training do not fit beside the others
        (30, [Streamed, Streamed]),
    ],
)
def test_images_lie_on_the_device_where_they_fit_those_of_validation_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, kinds: Sequence[type[Any]]
) -> None:
    monkeypatch.setattr(room, "free", lambda device: left)
    found = seen(image.read(a_folder(tmp_path, 30)), image_size=8, final=True)

    assert kinds == [type(found.train), type(found.val)]


@pytest.mark.parametrize("ranks", [1, 4])
def test_ranks_of_one_node_share_the_memory_of_the_host(monkeypatch: pytest.MonkeyPatch, ranks: int) -> None:
    monkeypatch.setattr(room, "free", lambda device: 4000)
    monkeypatch.setenv("PET_NPROC_PER_NODE", str(ranks))
    left = Room("auto", CPU)

    assert [True, True, False] == [left.takes(size) for size in (300 // ranks, 100 // ranks, 1)]


@pytest.mark.parametrize(
    ("ranks", "devices", "expected"), [(1, 1, 400), (4, 4, 400), (4, 2, 200), (3, 2, 200)]
)
def test_ranks_share_the_memory_of_a_gpu_that_several_of_them_have(
    monkeypatch: pytest.MonkeyPatch, ranks: int, devices: int, expected: int
) -> None:
    monkeypatch.setattr(room, "free", lambda device: 1000)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.setenv("PET_NPROC_PER_NODE", str(ranks))
    left = Room("auto", torch.device("cuda", 0))

    assert [True, False] == [left.takes(expected), left.takes(1)]


def test_free_memory_is_what_the_machine_has_at_most() -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024

    assert 0 < free(CPU) <= total
