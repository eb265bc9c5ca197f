"""Data as tensors on the device: read, split and encoded once, then taken by row numbers."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.augment import wanted
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import arrays, bundled, encode, label, split, synthetic, table
from hypersweep_trainer.data.raw import Picked, Raw, Rows
from hypersweep_trainer.data.scaling import Scaling
from hypersweep_trainer.data.split import Split
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


def identity(x: Tensor) -> Tensor:
    """What rows undergo that the network takes as they are."""
    return x


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
    facts: Mapping[str, Any]  # task, target, categories and gaps as the data told
    digest: str  # of the raw rows
    split_digest: str  # of which row lies in which part
    raw: bool = False  # whether training rows are images that `normalise` still has to finish

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
        kept["random_resized_crop" if options.random_resized_crop else "flip"] = 1.0
    if options.loss == "msle":
        kept["loss"] = "msle"
    return Options(**kept)


@lru_cache(maxsize=4)
def _load(options: Options, fraction: float, final: bool, device: str) -> Data:
    raw = read(options)
    options = replace(options, task=raw.task, target=raw.target)
    label.check(raw, options)
    places = split.rows(len(raw.labels), raw.labels, options, fraction)
    classes = raw.labels[places.train] if raw.target == "classification" else None
    scaling, scaled = _scaled(raw, places, options)
    whole = places
    # Inputs are encoded once, for both stages; but a category's mean target is made of the labels in use.
    if options.pretrain != "none" and options.cat_encoder != "target":
        whole = split.rows(len(raw.labels), raw.labels, replace(options, subset_fraction=1.0), 1.0)
    parts = _parts(scaled, whole, options, torch.device(device), final)
    picked = torch.from_numpy(np.searchsorted(whole.train, places.train)).to(device)
    return Data(
        form=_form(raw, parts, scaling, options),
        train=parts.train if whole is places else Picked(parts.train, picked),
        unlabelled=parts.train,
        val=parts.val,
        test=parts.test,
        scaling=scaling,
        frequencies=() if classes is None else _frequencies(classes, len(raw.names)),
        strata=None if classes is None else torch.from_numpy(classes).to(device),
        normalise=parts.normalise,
        encoding={**raw.about, **parts.encoding, "names": list(raw.names)},
        facts=_facts(raw),
        digest=raw.digest,
        split_digest=places.digest,
        raw=raw.task == "image" and wanted(options),
    )


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
    from hypersweep_trainer.data import image, remote, text

    path = remote.fetch(options.data, options.cache_dir)
    match options.format if options.format != "auto" else format_of(options.data):
        case "images":
            return image.read(path)
        case "text":
            return text.read(path, options)
        case "npz":
            return arrays.read(path, options)
        case kind:
            return table.read(path, kind, options)


def _scaled(raw: Raw, places: Split, options: Options) -> tuple[Scaling, Raw]:
    if raw.target != "regression":
        return Scaling(), raw
    scaling = Scaling.fit(raw.labels[places.train], options.target_norm)
    return scaling, replace(raw, labels=scaling.apply(raw.labels).astype(np.float32))


def _parts(raw: Raw, places: Split, options: Options, device: torch.device, final: bool) -> Parts:
    match raw.task:
        case "image":
            from hypersweep_trainer.data import image

            images = image.parts(raw, places, options, device, final)
            return Parts(
                images.train, images.val, images.test, images.shape, images.encoding, images.normalise
            )
        case "sequence":
            from hypersweep_trainer.data import text

            tokens = text.parts(raw, places, options, device, final)
            return Parts(
                tokens.train, tokens.val, tokens.test, (tokens.context,), tokens.encoding,
                vocabulary=tokens.vocabulary,
            )  # fmt: skip
    rows = encode.parts(raw, places, options, device, final)
    return Parts(
        rows.train, rows.val, rows.test, tuple(rows.val.x.shape[1:]), rows.encoding,
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


def _facts(raw: Raw) -> Mapping[str, Any]:
    columns = () if raw.columns is None else raw.columns.values()
    categories = raw.target != "reconstruction" and any(cells.dtype == object for cells in columns)
    gaps = any(cells.dtype != object and bool(np.isnan(cells).any()) for cells in columns)
    return {
        "task": raw.task,
        "target": raw.target,
        "categories": "some" if categories else "none",
        "gaps": "some" if gaps else "none",
    }
