"""Rows in files that somebody hands to a trained model, read as its training data was."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.data import arrays, image, label, remote, table, text
from hypersweep_trainer.data.encode import Encoder
from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.options import Options
from hypersweep_trainer.options.facts import format_of
from hypersweep_trainer.saved import Model

TAKES = {  # by task: formats, and what they are in words
    "tabular": (("csv", "parquet", "npz"), "a model of tables takes a .csv, .parquet or .npz file"),
    "image": (("images", "npz"), "a model of images takes an image, a folder of them or an .npz file"),
    "sequence": (("text", "npz"), "a model of sequences takes a .txt or .npz file"),
}

STDIN = "-"
PIPED = {"tabular": ".csv", "sequence": ".txt"}  # by task: the file that stdin stands for


@dataclass(frozen=True)
class Given:
    """Rows without their labels, and what else their source says of them."""

    raw: Raw  # its labels are zeros
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)  # columns that tell the rows apart
    labels: NDArray[Any] | None = None  # cells as they stand there, numbers, truth values or text


@contextmanager
def told(place: str) -> Iterator[None]:
    """What is wrong with rows, with the place that they came from."""
    try:
        yield
    except DataError as error:
        if named(place) in str(error):
            raise
        raise DataError(f"{named(place)}: {error}") from error


def named(place: str) -> str:
    """A place as sentences call it."""
    return "stdin" if place == STDIN else place


def read(model: Model, place: str) -> Given:
    """The rows in a file or folder, here or at an s3:// URL, or on stdin; raises DataError."""
    if place == STDIN:
        return _piped(model)
    path = remote.fetch(place, model.options.cache_dir)
    kind, (formats, words) = _kind(path), TAKES[model.form.task]
    if kind not in formats:
        raise DataError(f"{place}: {words}, but this is none")
    match kind:
        case "csv" | "parquet":
            return _table(model, path, kind)
        case "npz":
            return _arrays(model, path)
        case "images":
            return _images(model, path)
    return _text(model, path)


def _piped(model: Model) -> Given:
    """A table as CSV, or a text."""
    if model.form.task not in PIPED:
        raise DataError(f"stdin: {TAKES[model.form.task][1]}, and none of them from stdin")
    with TemporaryDirectory() as folder:
        path = Path(folder, f"stdin{PIPED[model.form.task]}")
        path.write_bytes(sys.stdin.buffer.read())
        try:
            return read(model, str(path))
        except DataError as error:
            raise DataError(str(error).replace(str(path), "stdin")) from error


def _kind(path: Path) -> str:
    """The format of a file; a folder holds texts or images."""
    return "text" if path.is_dir() and any(path.rglob("*.txt")) else format_of(str(path))


def known(model: Model, given: Given, place: str) -> Raw:
    """The rows with their labels, class codes or numbers in original units; raises DataError."""
    if model.form.target in ("tokens", "reconstruction"):
        return given.raw
    if given.labels is None:
        raise DataError(f"{place}: must hold the labels of its rows, but holds none")
    where = f"{place}, labels"
    codes = model.form.target == "classification"
    labels = _codes(model.names, given.labels, where) if codes else label.numbers(given.labels, where)
    return replace(given.raw, labels=labels)


def _codes(names: Sequence[str], cells: NDArray[Any], where: str) -> NDArray[np.int64]:
    """Classes by name: which code a class has in another file says nothing."""
    label.whole(cells, where, "a class")
    words = label.spelled(cells)
    code = {name: number for number, name in enumerate(names)}
    # A word that is no class itself may be one that is spelled otherwise, as 1.0 and true are.
    code |= {word: code[name] for word in {*words} - {*code} for name in label.plain([word]) if name in code}
    if strange := sorted({*words} - {*code}):
        raise DataError(
            f"{where}: must be classes of the model ({', '.join(names)}), but one is {strange[0]}"
        )
    return np.array([code[word] for word in words], np.int64)


def _raw(model: Model, count: int, **rows: Any) -> Raw:
    return Raw(model.form.task, model.form.target, np.zeros(count, np.int64), "", model.names, **rows)


def _table(model: Model, path: Path, kind: str) -> Given:
    encoder, target = Encoder.load(model.encoding), model.encoding.get("label")
    categories = [one.name for one in encoder.categories]
    names = [*(one.name for one in encoder.numbers), *categories]
    texts = [*categories, target] if target and model.form.target == "classification" else categories
    columns = table.columns(path, kind, texts, None if target is None else (*names, target))
    if missing := [name for name in names if name not in columns]:
        raise DataError(f"{path}: must hold the columns of training, but has no {', '.join(missing)}")
    if target is None:  # bundled data has no name for it
        target = list(columns)[-1]
    return Given(_raw(model, len(columns[names[0]]), columns=columns), labels=columns.get(target))


def _arrays(model: Model, path: Path) -> Given:
    if model.encoding.get("tokenizer", "none") != "none":
        raise DataError(f"{path}: must be a .txt file, since the model was trained on text")
    target = "tokens" if model.form.target == "tokens" else "reconstruction"  # neither asks for labels
    raw = arrays.read(path, Options(data=str(path), task=model.form.task, target=target))
    if raw.columns is not None:
        raw = replace(raw, columns=_named(model, raw.columns, path))
    with np.load(path, allow_pickle=False) as archive:
        name = next((n for n in (model.options.label, "y", "label") if n in archive.files), None)
        labels = None if name is None else _cells(archive[name], len(raw.labels), f"{path}, {name}")
    return Given(raw, labels=labels)


def _named(model: Model, columns: Mapping[str, NDArray[Any]], path: Path) -> dict[str, NDArray[Any]]:
    """The columns of an array, which have no names, as the model's in their order."""
    encoder = Encoder.load(model.encoding)
    if encoder.categories:
        raise DataError(
            f"{path}: must be a .csv or .parquet file, since the model has columns of categories, "
            f"{', '.join(one.name for one in encoder.categories)}"
        )
    if len(columns) != len(encoder.numbers):
        raise DataError(
            f"{path}: x must hold the model's {len(encoder.numbers)} columns, but holds {len(columns)}"
        )
    return {one.name: cells for one, cells in zip(encoder.numbers, columns.values(), strict=True)}


def _cells(y: NDArray[Any], count: int, where: str) -> NDArray[Any]:
    if y.size != count:
        raise DataError(f"{where}: must hold one label for each of {count} rows, but has shape {y.shape}")
    cells = y.reshape(-1)
    return cells if cells.dtype.kind in "biuf" else cells.astype(str).astype(object)


def _images(model: Model, path: Path) -> Given:
    """An image, or all below a folder; the folder right below it that holds one is its label."""
    if path.is_file():
        return Given(_raw(model, 1, files=[path]), {"file": [str(path)]})
    files = image.files(path)
    names = [file.relative_to(path) for file in files]
    labels = np.array([name.parts[0] for name in names], object)
    return Given(_raw(model, len(files), files=files), {"file": list(map(str, names))}, labels)


def _text(model: Model, path: Path) -> Given:
    """A text for a model of language; for one of sequences a row in each line."""
    if model.form.target == "tokens" and model.encoding["tokenizer"] != "none":
        found = text.read(path, model.options).tokens
        assert found is not None
        return Given(_raw(model, len(found), tokens=found))
    lines = _lines(path)
    tokens = [_tokens(line, number, model, path) for number, line in enumerate(lines, 1)]
    if model.form.target == "tokens":
        stream = np.concatenate(tokens)
        return Given(_raw(model, len(stream), tokens=stream))
    context = model.form.shape[0]
    for number, row in enumerate(tokens, 1):
        if len(row) != context:
            raise DataError(
                f"{path}, line {number}: must hold {context} tokens, as in training, but holds {len(row)}"
            )
    return Given(_raw(model, len(tokens), tokens=np.stack(tokens)))


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: must be a text: {error}") from None
    if not lines:
        raise DataError(f"{path}: must hold text, but is empty")
    return lines


def _tokens(line: str, number: int, model: Model, path: Path) -> NDArray[np.int64]:
    try:
        return np.array(text.encode(line, model.encoding), np.int64)
    except ValueError as error:
        raise DataError(
            f"{path}, line {number}: must hold tokens as numbers between spaces: {error}"
        ) from None
