"""Arrays in NPZ files: what they hold, and what is wrong with them in one sentence."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hypersweep_trainer.config import Config, ConfigError
from hypersweep_trainer.data import Data, arrays, load
from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.options import Options

CPU = torch.device("cpu")

Columns = Mapping[str, NDArray[Any]]


def an_npz(folder: Path, arrays: Columns, **options: Any) -> Options:
    path = folder / "rows.npz"
    np.savez(path, **arrays)
    return Options(data=str(path), format="npz", **options)


def read_arrays(options: Options) -> Raw:
    return arrays.read(Path(options.data), options)


def loaded(options: Options, **more: Any) -> Data:
    given = {"data": options.data, "target": options.target, **more}
    return load(Config.read({"HYPERSWEEP_TRAINER": json.dumps(given)}), CPU)


@pytest.mark.parametrize(
    ("shape", "kind", "expected"),
    [
        ((9, 5, 6), "uint8", (9, 1, 5, 6)),
        ((9, 5, 6, 3), "uint8", (9, 3, 5, 6)),
        ((9, 3, 5, 6), "float64", (9, 3, 5, 6)),
        ((9, 5, 6, 1), "int64", (9, 1, 5, 6)),
    ],
)
def test_arrays_of_three_or_four_dimensions_are_images(
    tmp_path: Path, shape: tuple[int, ...], kind: str, expected: tuple[int, ...]
) -> None:
    high = 1 if kind == "float64" else 255
    x = (np.random.default_rng(0).random(shape) * high).astype(kind)
    raw = read_arrays(an_npz(tmp_path, {"x": x, "y": np.arange(9) % 3}))
    assert raw.pixels is not None
    channels_last = x.reshape(*shape[:3], -1) if shape[1] != 3 else x.transpose(0, 2, 3, 1)

    assert ("image", "classification", ("0", "1", "2")) == (raw.task, raw.target, raw.names)
    assert expected == raw.pixels.shape
    assert (np.float32 if high == 1 else np.uint8) == raw.pixels.dtype
    np.testing.assert_allclose(raw.pixels.transpose(0, 2, 3, 1), channels_last, rtol=1e-6)


@pytest.mark.parametrize(
    ("y", "target", "labels", "names"),
    [
        (np.array([0.5, 1.5, -3.0]), "regression", [0.5, 1.5, -3.0], ()),
        (np.array([[7], [3], [7]]), "classification", [1, 0, 1], ("3", "7")),
        (np.array(["b", "a", "b"]), "classification", [1, 0, 1], ("a", "b")),
        (np.array([True, False, True]), "classification", [1, 0, 1], ("False", "True")),
    ],
)
def test_the_target_of_arrays_goes_by_its_type(
    tmp_path: Path, y: NDArray[Any], target: str, labels: list[float], names: tuple[str, ...]
) -> None:
    raw = read_arrays(an_npz(tmp_path, {"x": np.ones((3, 2)), "label": y}))

    assert (target, labels, names) == (raw.target, raw.labels.tolist(), raw.names)
    assert ["x0", "x1"] == list(raw.columns or {})


def test_images_are_a_table_where_the_task_says_so(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((5, 2, 3))
    raw = read_arrays(an_npz(tmp_path, {"x": x, "y": np.arange(5.0)}, task="tabular"))
    assert raw.columns is not None

    np.testing.assert_array_equal(np.stack(list(raw.columns.values()), 1), x.reshape(5, 6))


def test_arrays_of_integers_are_tokens_where_the_task_is_a_sequence(tmp_path: Path) -> None:
    x = np.arange(12).reshape(3, 4) % 5
    labelled = read_arrays(an_npz(tmp_path, {"x": x, "y": np.array([0, 1, 0])}, task="sequence"))
    plain = read_arrays(an_npz(tmp_path, {"x": x}, task="sequence"))
    stream = read_arrays(an_npz(tmp_path, {"x": x.reshape(-1)}, task="sequence"))
    assert labelled.tokens is not None

    assert ("classification", "tokens", "tokens") == (labelled.target, plain.target, stream.target)
    assert x.tolist() == labelled.tokens.tolist()
    assert 5 == labelled.vocabulary == stream.vocabulary
    assert (3, 12) == (len(plain.labels), len(stream.labels))


def test_images_to_rebuild_need_no_labels(tmp_path: Path) -> None:
    options = an_npz(tmp_path, {"x": np.random.default_rng(0).random((30, 4, 4))}, target="reconstruction")
    data = loaded(options)

    assert ("reconstruction", (1, 4, 4), 16) == (data.form.target, data.form.shape, data.form.outputs)


@pytest.mark.parametrize(("shape", "length"), [((40, 9), "own"), ((400,), "free")])
def test_rows_of_tokens_have_a_length_and_a_stream_has_none(
    shape: tuple[int, ...], length: str, tmp_path: Path
) -> None:
    x = np.arange(math.prod(shape)).reshape(shape) % 5
    given = {"data": an_npz(tmp_path, {"x": x}).data, "task": "sequence", "target": "tokens", "context": 8}
    config = Config.read({"HYPERSWEEP_TRAINER": json.dumps(given)})
    facts = load(config, CPU).facts

    assert length == facts["length"]
    if length == "free":
        assert 8 == config.told(facts).options.context
        return
    with pytest.raises(ConfigError, match=r"^context: needs data whose rows can be of any length, but found"):
        config.told(facts)


def test_an_npz_table_may_have_gaps(tmp_path: Path) -> None:
    x = np.arange(40.0).reshape(20, 2)
    x[3, 1] = np.nan
    data = loaded(an_npz(tmp_path, {"x": x, "y": np.arange(20.0)}), target="regression")

    assert "some" == data.facts["gaps"]
    assert bool(data.train.take(torch.arange(len(data.train)))[0].isfinite().all())


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        ({"z": np.ones(3)}, {}, r"rows\.npz: there is no array x among z"),
        ({"x": np.ones((3, 2))}, {}, r"must give y with x, or `target` must be rec"),
        ({"x": np.ones((3, 2)), "y": np.ones(3)}, {"label": "t"}, "there is no array t among x, y"),
        ({"x": np.ones((3, 2)), "y": np.ones(4)}, {}, r"y must hold one target for each of 3 rows, .*\(4,\)"),
        ({"x": np.array(["a", "b"]), "y": np.ones(2)}, {}, "x must hold numbers in rows, but has shape"),
        ({"x": np.ones((0, 2)), "y": np.ones(0)}, {}, r"x must hold numbers in rows, .* \(0, 2\)"),
        ({"x": np.ones((3, 2), int), "y": np.ones(3)}, {}, "x holds integers .* set task to tabular or"),
        ({"x": np.ones((3, 2, 2, 2, 2)), "y": np.ones(3)}, {}, "as task auto needs it, but has shape"),
        ({"x": np.ones((3, 2)), "y": np.ones(3)}, {"task": "image"}, r"task image needs it, but .*\(3, 2\)"),
        ({"x": np.ones((3, 2)), "y": np.ones(3)}, {"task": "sequence"}, "task sequence needs it"),
        ({"x": np.full((3, 2), -1)}, {"task": "sequence"}, "x must hold tokens from 0, .* least is -1"),
        ({"x": np.full((3, 4, 4), 9.0), "y": np.ones(3)}, {}, "x must hold images .* but goes from 9 to 9"),
        ({"x": np.full((3, 4, 4), 256), "y": np.ones(3)}, {}, "x must hold images .* goes from 256 to 256"),
        ({"x": np.ones((3, 2)), "y": np.array([1, np.nan, 2])}, {}, "y: row 2 is empty, but each row needs"),
        ({"x": np.ones((3, 2)), "y": np.array(list("abc"))}, {"target": "regression"}, "y: row 1 is 'a'"),
        ({"x": np.array([[1.0], [np.inf]]), "y": np.ones(2)}, {}, "x must hold finite numbers, .* in row 2"),
        ({"x": np.array([{}, {}])}, {}, "cannot be read as npz: Object arrays cannot be loaded"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_arrays_is_told_in_a_sentence(
    tmp_path: Path, given: Columns, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        read_arrays(an_npz(tmp_path, given, **options))


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.npz").write_bytes(content)

    with pytest.raises(DataError, match=r"rows\.npz: cannot be read as npz"):
        read_arrays(Options(data=str(tmp_path / "rows.npz"), format="npz"))
