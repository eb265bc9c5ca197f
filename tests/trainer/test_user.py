"""Data by import path: what it may be, what its shape and type say, and what is told of everything else."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from hypersweep_trainer.data import image, room, split, user
from hypersweep_trainer.data.demand import OnDemand
from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.data.stream import Streamed
from hypersweep_trainer.options import Options

X, Y = np.random.default_rng(0).random((6, 3)), np.array([2, 1, 2, 1, 2, 1])


class Pairs(Dataset[Any]):
    """A Dataset as most people write it."""

    def __init__(self, x: Any = X, y: Any = Y) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        return torch.as_tensor(self.x[row]), int(self.y[row])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return zip(X, Y.tolist(), strict=True)


def with_options(options: Options) -> Any:
    return X[: options.synthetic_rows], Y[: options.synthetic_rows]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Raw]:
    """Reads something as if a module held it."""

    def read(found: Any, **options: Any) -> Raw:
        module = ModuleType("mine")
        module.__dict__["data"] = found
        monkeypatch.setitem(sys.modules, "mine", module)
        return user.read("mine:data", Options(data="mine:data", **options))

    return read


def columns(raw: Raw) -> np.ndarray:
    assert raw.columns is not None
    return np.stack(list(raw.columns.values()), 1)


@pytest.mark.parametrize(
    "found",
    [
        (X, Y),
        [X.tolist(), Y.tolist()],
        (torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y)),
        {"x": X, "y": Y},
        TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),
        Pairs(),
        Pairs,
        Stream(),
        lambda: (X, Y),
        lambda more=1: {"x": X, "y": Y},
        with_options,
    ],
)
def test_data_comes_as_arrays_tensors_a_dataset_or_from_a_function(
    read: Callable[..., Raw], found: Any
) -> None:
    raw = read(found)

    np.testing.assert_allclose(columns(raw), X)
    assert [1, 0, 1, 0, 1, 0] == raw.labels.tolist()
    assert ("tabular", "classification", ("1", "2")) == (raw.task, raw.target, raw.names)


def test_tensors_of_16_bits_are_read(read: Callable[..., Raw]) -> None:
    for kind in (torch.bfloat16, torch.float16):
        x = torch.from_numpy(X).to(kind)

        np.testing.assert_array_equal(columns(read((x, Y))), x.double().numpy())


def test_a_function_can_follow_the_options(read: Callable[..., Raw]) -> None:
    assert 4 == len(read(lambda options: (X[: options.context], Y[: options.context]), context=4).labels)


@pytest.mark.parametrize(
    ("x", "y", "task", "target"),
    [
        (X, Y, "tabular", "classification"),
        (X, Y > 1, "tabular", "classification"),
        (X, np.array(list("abcabc")), "tabular", "classification"),
        (X, Y / 2, "tabular", "regression"),
        (X[:, 0], Y / 2, "tabular", "regression"),
        (X[:, :1] > 0, Y[:, None], "tabular", "classification"),
        (np.arange(6), Y, "tabular", "classification"),
        (X.reshape(6, 3, 1), Y, "image", "classification"),
        (np.zeros((6, 3, 2, 2), np.uint8), Y / 2, "image", "regression"),
        (np.arange(24).reshape(6, 4), Y, "sequence", "classification"),
        (np.arange(24).reshape(6, 4), None, "sequence", "tokens"),
        (np.arange(24), None, "sequence", "tokens"),
    ],
)
def test_shape_and_type_say_what_is_learned_of_what(
    read: Callable[..., Raw], x: Any, y: Any, task: str, target: str
) -> None:
    raw = read((x, y))

    assert (task, target, len(x)) == (raw.task, raw.target, len(raw.labels))
    assert (np.float64 if target == "regression" else np.int64) == raw.labels.dtype


@pytest.mark.parametrize(
    ("x", "y", "options", "task", "target"),
    [
        (X, Y, {"target": "regression"}, "tabular", "regression"),
        (X, Y / 2, {"target": "classification"}, "tabular", "classification"),
        (X, Y, {"target": "reconstruction"}, "tabular", "reconstruction"),
        (X, None, {"target": "reconstruction"}, "tabular", "reconstruction"),
        (np.ones((6, 2), np.int64), Y, {"task": "tabular"}, "tabular", "classification"),
        (np.ones((6, 2), np.int64), Y, {"target": "tokens"}, "sequence", "tokens"),
        (np.ones((6, 3, 2, 2)), Y, {"task": "tabular"}, "tabular", "classification"),
    ],
)
def test_options_say_otherwise(
    read: Callable[..., Raw], x: Any, y: Any, options: dict[str, str], task: str, target: str
) -> None:
    raw = read((x, y), **options)

    assert (task, target) == (raw.task, raw.target)


def test_images_have_their_channels_first_and_are_bytes_or_from_0_to_1(read: Callable[..., Raw]) -> None:
    channels_last = np.arange(6 * 4 * 5 * 3).reshape(6, 4, 5, 3) % 256
    grey, colour, mask = (
        read((x, Y)).pixels for x in (X.reshape(6, 3, 1), channels_last, X[:, :, None] > 0.5)
    )
    assert grey is not None
    assert colour is not None
    assert mask is not None

    assert ((6, 1, 3, 1), np.float32) == (grey.shape, grey.dtype)
    assert ((6, 3, 4, 5), np.uint8) == (colour.shape, colour.dtype)
    assert channels_last[1, 2, 3].tolist() == colour[1, :, 2, 3].tolist()
    assert {0, 1} == set(np.unique(mask).tolist())


def test_tokens_are_kept_as_they_are(read: Callable[..., Raw]) -> None:
    raw = read((torch.tensor([[0, 3], [1, 7]], dtype=torch.int32), None))
    assert raw.tokens is not None

    assert ([[0, 3], [1, 7]], 8) == (raw.tokens.tolist(), raw.vocabulary)


def test_missing_cells_of_a_table_stay_empty(read: Callable[..., Raw]) -> None:
    x = X.copy()
    x[2, 1] = np.nan

    assert np.isnan(columns(read((x, Y)))[2, 1])


def test_equal_data_has_an_equal_digest_and_other_data_another(read: Callable[..., Raw]) -> None:
    assert read((X, Y)).digest == read({"x": torch.from_numpy(X), "y": Y}).digest
    assert read((X, Y)).digest != read((X + 1, Y)).digest != read((X, Y[::-1])).digest


def test_modules_of_the_current_folder_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_numbers.py").write_text("class Here:\n    data = ([[1.0], [2.0]], [0, 1])\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)

    assert 2 == len(user.read("my_numbers:Here.data", Options()).labels)
    assert before == sys.path
    monkeypatch.delitem(sys.modules, "my_numbers")


def fails() -> Any:
    raise RuntimeError("the disk is gone")


def fails_in_two_lines() -> Any:
    raise ValueError("one\ntwo")


def ends() -> Any:
    sys.exit(3)


@pytest.mark.parametrize(
    ("found", "options", "words"),
    [
        (fails_in_two_lines, {}, "cannot be read: ValueError: one two$"),
        (ends, {}, "cannot be read: SystemExit: 3"),
        (fails, {}, "cannot be read: RuntimeError: the disk is gone"),
        (7, {}, r"x must hold numbers|x must be"),
        ({"x": X, "z": Y}, {}, "cannot be read: TypeError: a dict must hold x and y, .* holds x, z"),
        ((X, Y, Y), {}, "cannot be read: ValueError"),
        ((X, Y[:4]), {}, r"y must hold one target for each of 6 rows, but has shape \(4,\)"),
        ((X, np.eye(6)), {}, r"y must hold one target .* but has shape \(6, 6\)"),
        (X, {}, "must give y with x, or `target` must be reconstruction"),
        ((np.zeros((0, 3)), []), {}, "x must hold numbers"),
        ((np.array([["a"]]), [1]), {}, "x must hold numbers"),
        ((X, Y), {"task": "image"}, r"as task image needs it, but has shape \(6, 3\)"),
        ((X, Y), {"task": "sequence"}, r"as task sequence needs it, but has shape \(6, 3\)"),
        ((np.zeros((6, 1, 1, 1, 1)), Y), {}, r"as task auto needs it, but has shape"),
        ((X.reshape(6, 3, 1) * 300, Y), {}, "numbers from 0 to 1, but goes from"),
        ((X.reshape(6, 3, 1) * np.nan, Y), {}, "numbers from 0 to 1, but goes from nan"),
        ((np.full((6, 2, 2), 256), Y), {}, "integers from 0 to 255 .* but goes from 256 to 256"),
        ((np.full((6, 2), -1), Y), {}, "tokens from 0, but the least is -1"),
        ((X * np.inf, Y), {}, "x must hold finite numbers"),
        ((X, Y * np.nan), {}, "y"),
        (Pairs(X, Y[:2]), {}, "cannot be read: IndexError"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_import_path(
    read: Callable[..., Raw], found: Any, options: dict[str, str], words: str
) -> None:
    with pytest.raises(DataError, match=f"^mine:data.*({words})") as caught:
        read(found, **options)

    assert "\n" not in str(caught.value)


# more than memory holds


class Photographs(Dataset[Any]):
    """Images that are made when they are asked for, and what was asked for."""

    def __init__(self, count: int = 40, **wrong: Any) -> None:
        self.count, self.wrong, self.asked = count, wrong, list[int]()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[Any, int]:
        self.asked.append(row)
        if self.wrong and row == 8:
            if "error" in self.wrong:
                raise OSError("the disk is gone")
            return self.wrong["x"], 0
        return np.random.default_rng(row).integers(0, 256, (6, 5, 3), np.uint8), row % 2


class Labelled(Photographs):
    """The same, whose targets are known without reading an image."""

    @property
    def targets(self) -> list[int]:
        return [row % 2 for row in range(self.count)]


def taken(raw: Raw, resident: str, **options: Any) -> image.ImageParts:
    given = Options(target="classification", resident=resident, **options)
    places = split.rows(len(raw.labels), raw.labels, given, 1.0)
    return image.parts(raw, places, given, torch.device("cpu"), final=True)


@pytest.mark.parametrize("options", [{}, {"image_size": 9, "flip": 0.5}])
def test_images_of_a_dataset_that_are_too_many_for_memory_are_read_on_demand(
    read: Callable[..., Raw], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    held = read(Photographs())
    monkeypatch.setattr(room, "free", lambda device: 40 * 90)
    asked = read(Photographs())
    one, other = taken(held, "device", **options), taken(asked, "auto", **options)

    assert isinstance(asked.pixels, OnDemand)
    assert isinstance(other.train, Streamed)
    assert held.labels.tolist() == asked.labels.tolist()
    assert (held.names, one.shape, one.encoding) == (asked.names, other.shape, other.encoding)
    for near, far in ((one.train, other.train), (one.val, other.val), (one.test, other.test)):
        assert near is not None
        assert far is not None
        order = torch.arange(len(near)).flip(0)
        far.hint(order.split(5))
        for rows in order.split(5):
            assert all(map(torch.equal, near.take(rows), far.take(rows)))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, memory has no room for any image."""
    return lambda: monkeypatch.setattr(room, "free", lambda device: 0)


def test_no_image_is_read_before_it_is_wanted_where_targets_are_known(
    read: Callable[..., Raw], full: Callable[[], None]
) -> None:
    full()
    known, unknown = Labelled(), Photographs()
    one, other = read(known), read(unknown)

    assert 17 == len(known.asked)  # the first, and some to see that the targets are theirs
    assert [0, *range(40)] == unknown.asked
    assert one.digest == other.digest != read(Labelled(38)).digest


class Upright(Labelled):
    """Images whose targets the Dataset makes others of than its own attribute holds."""

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return super().__getitem__(row)[0], 5 - row % 2


class Folded(Labelled):
    """The same, though not of the first one."""

    def __getitem__(self, row: int) -> tuple[Any, int]:
        x, y = super().__getitem__(row)
        return x, min(y, 1)


class Fractions(Photographs):
    """Images of numbers."""

    def __getitem__(self, row: int) -> tuple[Any, int]:
        x, y = super().__getitem__(row)
        return x / 255, y


@pytest.mark.parametrize("kind", [Photographs, Labelled, Upright, Folded, Fractions])
def test_images_of_a_dataset_are_the_same_data_in_memory_and_on_demand(
    read: Callable[..., Raw], full: Callable[[], None], kind: type[Photographs]
) -> None:
    held = read(kind())
    full()
    asked = read(kind())
    assert held.pixels is not None
    assert isinstance(asked.pixels, OnDemand)

    assert (held.digest, held.names, held.labels.tolist()) == (
        asked.digest, asked.names, asked.labels.tolist(),
    )  # fmt: skip
    assert all(np.array_equal(held.pixels[row], asked.pixels.read(row)) for row in range(40))
    assert held.pixels.dtype == asked.pixels.dtype


def test_images_stay_in_memory_where_they_fit_though_rows_are_to_lie_on_the_host(
    read: Callable[..., Raw],
) -> None:
    assert isinstance(read(Photographs(), resident="host").pixels, np.ndarray)


def test_each_image_is_read_once_into_memory(read: Callable[..., Raw]) -> None:
    images = Photographs()
    read(images)

    assert [0, *range(40)] == images.asked


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"error": True}, "cannot be read: OSError: the disk is gone"),
        ({"x": np.zeros((6, 6, 3), np.uint8)}, r"of shape \(6, 5, 3\), as the first row does, but has shape"),
        ({"x": np.ones((6, 5, 3))}, "must hold integers of shape .*, but has .* type float64"),
        ({"x": np.full((6, 5, 3), "a")}, "must hold integers of shape .*, but has .* type <U1"),
        ({"x": np.full((6, 5, 3), 256)}, "integers from 0 to 255 .* but goes from 256 to 256"),
    ],
)
def test_an_image_that_cannot_be_used_is_told_with_its_row(
    read: Callable[..., Raw], full: Callable[[], None], wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=f"^mine:data, row 9: .*{words}"):
        read(Labelled(**wrong))
    full()
    raw = read(Labelled(**wrong))
    assert isinstance(raw.pixels, OnDemand)

    with pytest.raises(DataError, match=f"^mine:data, row 9: .*{words}"):
        raw.pixels.read(8)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("no_such_module:data", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("json:nothing", "AttributeError: module 'json' has no attribute 'nothing'"),
    ],
)
def test_an_import_path_that_leads_nowhere_is_told(spec: str, words: str) -> None:
    with pytest.raises(DataError, match=f"^{spec}: cannot be read: {words}"):
        user.read(spec, Options())
