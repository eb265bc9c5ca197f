"""Data as tensors on the device: read, split and encoded once, then taken by row numbers."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.augment import wanted
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import arrays, bundled, encode, label, split, synthetic, table
from hypersweep_trainer.data.raw import DataError, Picked, Raw, Rows, facts
from hypersweep_trainer.data.scaling import Scaling
from hypersweep_trainer.data.split import Cut, Split
from hypersweep_trainer.data.stream import identity
from hypersweep_trainer.form import Form
from hypersweep_trainer.options import DATASETS, Options
from hypersweep_trainer.options.facts import IMPORT, format_of
from hypersweep_trainer.options.inputs import Inputs
from hypersweep_trainer.options.source import Source

READ = (
    "data", "format", "task", "target", "label", "features", "categorical", "tokenizer", "context",
    "synthetic_rows", "synthetic_noise", "synthetic_seed", "cache_dir",
)  # fmt: skip
# What of Source and Inputs the data does not depend on.
LATER = ("metrics", "emb_dim", "shuffle", "sampling", "repeated_augmentation")
MATERIAL = (
    *(entry.name for group in (Source, Inputs) for entry in fields(group) if entry.name not in LATER),
    "output_range",
    "pretrain",
)


@dataclass(frozen=True)
class Data:
    """A data set as one trial sees it."""

    form: Form
    train: Rows  # images that are to be augmented are raw: see `normalise`
    unlabelled: Rows  # what a first stage without labels may see: the training rows before a subset is taken
    val: Rows
    test: Rows | None  # None unless the trial may read it
    scaling: Scaling  # of the target of a regression
    frequencies: tuple[float, ...]  # share of each class among the training rows; () where there are none
    strata: Tensor | None  # (n,) int64 class of each training row, on the device
    normalise: Callable[[Tensor], Tensor]  # raw images (n, c, h, w) from 0 to 1 -> what the network takes
    encoding: Mapping[str, Any]  # JSON types: all that prediction needs beside form and scaling
    facts: Mapping[str, Any]  # what the data told: see `options.facts.of_data`
    digest: str  # of the raw rows
    split_digest: str  # of which row lies in which part
    raw: bool = False  # whether training rows are images that `normalise` still has to finish
    notes: tuple[str, ...] = ()  # sentences on what is odd in it, and no error
    # Training rows by their numbers as evaluation sees them, where it has a view of its own.
    evaluated: Callable[[NDArray[np.int64]], Rows] | None = None

    def finish(self, x: Tensor) -> Tensor:
        """Training rows as they were taken -> what the network takes, without augmentation."""
        return self.normalise(x) if self.raw else x


@dataclass(frozen=True)
class Parts:
    """Encoded rows, and what is known of them by then."""

    train: Rows
    val: Rows
    test: Rows | None
    shape: tuple[int, ...]
    encoding: Mapping[str, Any]
    normalise: Callable[[Tensor], Tensor] = identity
    numbers: int = 0
    categories: tuple[int, ...] = ()
    vocabulary: int = 0
    evaluated: Callable[[NDArray[np.int64]], Rows] | None = None  # rows of the data set


def load(config: Config, device: torch.device) -> Data:
    """The data of a configuration; trials that share it share the tensors. Raises DataError."""
    return _load(material(config), config.fraction, config.final, str(device))


def material(config: Config) -> Options:
    """The options on which the data depends; all others are at their defaults."""
    options = config.options
    kept = {name: getattr(options, name) for name in MATERIAL}
    if options.cat_encoder != "target":
        del kept["cat_encoder"]  # the others work in the network
    if options.image_norm == "pretrained":
        kept |= {"model": options.model, "pretrained": config.pretrained or options.pretrained}
    if options.task not in ("tabular", "sequence") and wanted(options):
        # Which augmentation it is does not matter, but those that crop want larger images.
        kept["random_resized_crop" if options.random_resized_crop else "flip"] = 0.5
    if options.loss in ("mape", "msle"):  # not for all targets
        kept["loss"] = options.loss
    return Options(**kept)


@lru_cache(maxsize=4)
def _load(options: Options, fraction: float, final: bool, device: str) -> Data:
    if device != "cpu":  # what an earlier trial had would take the place of a network
        _load.cache_clear()
    raw = read(options)
    options = replace(options, task=raw.task, target=raw.target)
    label.check(raw, options)
    places = divided(raw, options, fraction)
    classes = _classes(raw, places)
    if raw.target == "regression" and not isinstance(places, Cut) and fraction * options.subset_fraction == 1:
        label.varied(raw.labels[places.train], raw, options.data, "training row")
    if classes is not None and options.stratify and fraction * options.subset_fraction == 1:
        label.trainable(classes, raw, options.data)
    scaling, scaled = _scaled(raw, places, options)
    whole = places
    # Inputs are encoded once, for both stages; but a category's mean target is made of the labels in use.
    if options.pretrain != "none" and options.cat_encoder != "target":
        whole = divided(raw, replace(options, subset_fraction=1.0), 1.0)
    parts = _parts(scaled, whole, options, torch.device(device), final)
    return Data(
        form=_form(raw, parts, scaling, options),
        train=parts.train if whole is places else _picked(parts.train, whole, places),
        unlabelled=parts.train,
        val=parts.val,
        test=parts.test,
        scaling=scaling,
        frequencies=() if classes is None else _frequencies(classes, len(raw.names)),
        strata=None if classes is None else torch.from_numpy(classes).to(device),
        normalise=parts.normalise,
        encoding={**raw.about, **parts.encoding, "names": list(raw.names)},
        facts=facts(raw, options.data in DATASETS),
        digest=raw.digest,
        split_digest=places.digest,
        raw=raw.task == "image" and wanted(options),
        notes=_notes(raw, places, options),
        evaluated=_evaluated(parts, places),
    )


def _notes(raw: Raw, places: Split | Cut, options: Options) -> tuple[str, ...]:
    """What is strange in the data, and which classes a part lacks."""
    if raw.target != "classification" or isinstance(places, Cut):
        return raw.notes
    parts = {"training": places.train, "validation": places.val, "test": places.test}
    return (*raw.notes, *label.absent(raw, parts, options.data))


def _evaluated(parts: Parts, places: Split | Cut) -> Callable[[NDArray[np.int64]], Rows] | None:
    """The same of training rows."""
    if parts.evaluated is None or isinstance(places, Cut):
        return None
    evaluated, train = parts.evaluated, places.train
    return lambda rows: evaluated(train[rows])


def read(options: Options) -> Raw:
    """The data set that the options name, whole and as it was read; raises DataError."""
    return _raw(Options(**{name: getattr(options, name) for name in READ}))


@lru_cache(maxsize=4)
def _raw(options: Options) -> Raw:
    raw = _read(options)
    if options.target != "reconstruction":
        return raw
    return replace(raw, target="reconstruction", labels=np.zeros(len(raw.labels), np.int64), names=())


def _read(options: Options) -> Raw:
    known = DATASETS.get(options.data)
    if known is not None and known.origin == "synthetic":
        return synthetic.read(options)
    if known is not None:
        return bundled.read(options.data, options.task if options.task in known.tasks else known.tasks[0])
    if re.fullmatch(IMPORT, options.data):
        from hypersweep_trainer.data import user

        return user.read(options.data, options)
    return _file(options)


def _file(options: Options) -> Raw:
    from hypersweep_trainer.data import remote

    path = remote.fetch(options.data, options.cache_dir)
    try:
        return _opened(path, options)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _opened(path: Path, options: Options) -> Raw:
    from hypersweep_trainer.data import image, text

    match options.format if options.format != "auto" else format_of(options.data):
        case "images":
            return image.read(path)
        case "text":
            return text.read(path, options)
        case "npz":
            return arrays.read(path, options)
        case kind:
            return table.read(path, kind, options)


def divided(raw: Raw, options: Options, fraction: float) -> Split | Cut:
    """Which rows, or positions of a stream, are for what; raises DataError."""
    if raw.tokens is not None and raw.tokens.ndim == 1:
        return split.cut(len(raw.labels), options, fraction)
    return split.rows(len(raw.labels), raw.labels, options, fraction)


def _classes(raw: Raw, places: Split | Cut) -> NDArray[np.int64] | None:
    """The class of each training row, where there are classes."""
    if raw.target != "classification" or isinstance(places, Cut):
        return None
    classes: NDArray[np.int64] = raw.labels[places.train]
    return classes


def _picked(rows: Rows, whole: Split | Cut, places: Split | Cut) -> Rows:
    """The training rows of a split among those of a larger one."""
    assert isinstance(whole, Split)  # a stream has no labels that a first stage could do without
    assert isinstance(places, Split)
    return Picked(rows, torch.from_numpy(np.searchsorted(whole.train, places.train)).to(rows.device))


def _scaled(raw: Raw, places: Split | Cut, options: Options) -> tuple[Scaling, Raw]:
    if raw.target != "regression" or isinstance(places, Cut):
        return Scaling(), raw
    scaling = Scaling.fit(raw.labels[places.train], options.target_norm)
    return scaling, replace(raw, labels=scaling.apply(raw.labels).astype(np.float32))


def _parts(raw: Raw, places: Split | Cut, options: Options, device: torch.device, final: bool) -> Parts:
    if raw.task == "sequence":
        from hypersweep_trainer.data import text

        tokens = text.parts(raw, places, options, device, final)
        return Parts(
            tokens.train, tokens.val, tokens.test, (tokens.context,), tokens.encoding,
            vocabulary=tokens.vocabulary,
        )  # fmt: skip
    assert isinstance(places, Split)  # only sequences come as a stream
    if raw.task == "image":
        from hypersweep_trainer.data import image

        images = image.parts(raw, places, options, device, final)
        return Parts(
            images.train, images.val, images.test, images.shape, images.encoding, images.normalise,
            evaluated=images.evaluated,
        )  # fmt: skip
    rows = encode.parts(raw, places, options, device, final)
    return Parts(
        rows.train, rows.val, rows.test, rows.shape, rows.encoding,
        numbers=rows.numbers, categories=rows.categories,
    )  # fmt: skip


def _form(raw: Raw, parts: Parts, scaling: Scaling, options: Options) -> Form:
    outputs = {
        "classification": len(raw.names),
        "regression": 1,
        "tokens": parts.vocabulary,
        "reconstruction": math.prod(parts.shape),
    }
    return Form(
        task=raw.task,
        target=raw.target,
        shape=parts.shape,
        outputs=outputs[raw.target],
        numbers=parts.numbers,
        categories=parts.categories,
        vocabulary=parts.vocabulary,
        bounds=_bounds(scaling, options) if raw.target == "regression" else None,
    )


def _bounds(scaling: Scaling, options: Options) -> tuple[float, float] | None:
    """`output_range` in scaled units."""
    if not options.output_range:
        return None
    low, high = scaling.apply(np.array(options.output_range)).tolist()
    return low, high


def _frequencies(classes: NDArray[np.int64], count: int) -> tuple[float, ...]:
    return tuple((np.bincount(classes, minlength=count) / len(classes)).tolist())
