"""What follows from a few options before any data is read: the task, the target, the kind of network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypersweep_trainer.options.option import UNKNOWN


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is loaded."""

    tasks: tuple[str, ...]  # how it can be seen; the first is what `task: auto` means
    target: str
    origin: str = "bundled"  # bundled | synthetic
    categories: str = "none"  # whether columns hold categories: some | none
    gaps: str = "none"  # whether cells are empty: some | none
    rows: int = 0  # 0: as many as are asked for
    side: int = 0  # of its images, in pixels
    classes: int = 0  # 0: none


DATASETS: Mapping[str, Dataset] = {
    "digits": Dataset(("image", "tabular"), "classification", rows=1797, side=8, classes=10),
    "breast_cancer": Dataset(("tabular",), "classification", rows=569, classes=2),
    "diabetes": Dataset(("tabular",), "regression", rows=442),
    "wine": Dataset(("tabular",), "classification", rows=178, classes=3),
    "iris": Dataset(("tabular",), "classification", rows=150, classes=3),
    "synthetic_images": Dataset(("image",), "classification", "synthetic", side=32, classes=10),
    "synthetic_table": Dataset(("tabular",), "classification", "synthetic", "some", "some", classes=3),
    "synthetic_curve": Dataset(("tabular",), "regression", "synthetic"),
    "markov": Dataset(("sequence",), "tokens", "synthetic"),
    "brackets": Dataset(("sequence",), "classification", "synthetic", classes=2),
}
FORMATS = {"csv": "tabular", "parquet": "tabular", "npz": "", "images": "image", "text": "sequence"}
ENDINGS = {"csv": "csv", "parquet": "parquet", "npz": "npz", "txt": "text", "text": "text"}
FILE_SIDE = 224  # pixels to which images of files are scaled, unless `image_size` says more
TARGETS = ("classification", "regression", "tokens", "reconstruction")
ARCHITECTURES = ("mlp", "cnn", "transformer")
MODELS = ("timm", "import")  # what a model's name may begin with, or be, beside these

LOSS = ("train_loss", "val_loss")
ERRORS = ("val_rmse", "val_mae", "val_r2", "val_mape")
METRICS: Mapping[str, tuple[str, ...]] = {  # what a run always reports
    "classification": (*LOSS, "val_accuracy", "val_balanced_accuracy", "val_f1"),
    "regression": (*LOSS, *ERRORS),
    "tokens": (*LOSS, "val_accuracy", "val_nats_per_token", "val_perplexity"),
    "reconstruction": (*LOSS, "val_rmse"),
}
ON_REQUEST: Mapping[str, tuple[str, ...]] = {  # what it reports when `metrics` or an objective names it
    "classification": (
        "val_top5_accuracy",
        "val_auroc",
        "val_average_precision",
        "val_log_loss",
        "val_calibration_error",
    ),
    "tokens": ("val_top5_accuracy",),
}
MAXIMIZED = ("accuracy", "r2", "f1", "auroc", "precision")  # how metrics end that are better when larger

IMPORT = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"  # module:attribute

OF_DATA = ("data", "format", "task", "target")  # the options that these facts come from
DERIVED = ("format", "task", "target", "residual")  # options that hold a fact once `auto` is replaced
SEEN = ("task", "target", "categories", "numbers", "gaps", "length", "classes")  # what reading it can tell
READS: Mapping[str, tuple[str, ...]] = {  # what a fact follows from, itself as an option included
    **dict.fromkeys(("origin", "store", "format", "reading", *SEEN), OF_DATA),
    "architecture": ("model",),
    "weights": ("pretrained", "pretrain"),
    "residual": ("residual", "architecture", "hidden", "depth"),
    "ranks": (),
}


def of_data(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """`origin`, `store`, `format`, `reading` and SEEN of the data that the options name.

    categories, numbers: whether a table has such columns, and gaps: whether cells of numbers are empty (some
    or none); length: whether rows of tokens are as long as one likes (free) or have their own; classes: how
    many, 0 where there are none; store: s3 or none; reading: whether rows may be read one by one whenever
    they are wanted (single) or are read before (whole).
    """
    facts = _of_source(chosen)
    facts["reading"] = _reading(facts["origin"], facts["format"])
    for option in ("task", "target"):
        if chosen[option] != "auto":
            facts[option] = chosen[option]
    if facts["target"] == "reconstruction":
        facts["categories"] = "none"
    if facts["task"] in ("image", "tabular"):
        facts["length"] = "free"
    return facts


def _of_source(chosen: Mapping[str, Any]) -> dict[str, Any]:
    name = chosen["data"]
    if name is UNKNOWN:
        return dict.fromkeys(("origin", "store", "format", *SEEN), UNKNOWN)
    if name in DATASETS:
        known = DATASETS[name]
        return {
            "origin": known.origin, "store": "none", "format": "none", "task": known.tasks[0],
            "target": known.target, "categories": known.categories, "numbers": "some", "gaps": known.gaps,
            "length": "free", "classes": known.classes,
        }  # fmt: skip
    if re.fullmatch(IMPORT, name):
        facts = {"origin": "import", "store": "none", "format": "none", "categories": "none"}
        return dict.fromkeys(SEEN, UNKNOWN) | facts | {"numbers": "some"}
    return _of_file(name, chosen["format"])


def _of_file(path: str, chosen: Any) -> dict[str, Any]:
    kind = format_of(path) if chosen == "auto" else chosen
    facts = {"origin": "file", "store": "s3" if path.startswith("s3://") else "none", "format": kind}
    if kind is UNKNOWN:
        return dict.fromkeys(SEEN, UNKNOWN) | facts
    columns, arrays = kind in ("csv", "parquet"), kind == "npz"
    return facts | {
        "task": FORMATS[kind] or UNKNOWN,
        "target": "tokens" if kind == "text" else UNKNOWN if arrays else "classification",
        "categories": UNKNOWN if columns else "none",
        "numbers": UNKNOWN if columns else "some",
        "gaps": UNKNOWN if columns or arrays else "none",
        "length": UNKNOWN if arrays else "free",
        "classes": UNKNOWN,
    }


def _reading(origin: Any, kind: Any) -> Any:
    if UNKNOWN in (origin, kind):
        return UNKNOWN
    return "single" if origin == "import" or kind == "images" else "whole"


def format_of(path: str) -> str:
    """What kind of file a path names, by its ending; a folder holds images, one for each class."""
    ending = path.rstrip("/").rpartition(".")[2].lower() if "." in path.rpartition("/")[2] else ""
    return ENDINGS.get(ending, "images")


def architecture(model: Any) -> Any:
    """The kind of network: one of ARCHITECTURES, or of MODELS."""
    if model is UNKNOWN or model in ARCHITECTURES:
        return model
    return "timm" if model.startswith("timm:") else "import"


def weights(pretrained: Any, pretrain: Any) -> Any:
    """Whether a network starts from weights that have learned something: some or none."""
    if (pretrained is not UNKNOWN and pretrained) or pretrain not in (UNKNOWN, "none"):
        return "some"
    return UNKNOWN if UNKNOWN in (pretrained, pretrain) else "none"


def residual(chosen: Any, kind: Any, hidden: Any, depth: Any) -> Any:
    """Whether blocks are residual: on, off, or as a network of another kind has it."""
    if chosen != "auto" or kind in MODELS:
        return chosen
    if kind == "transformer":
        return "on"
    sizes = hidden if kind == "mlp" else ()
    if UNKNOWN in (kind, sizes):
        return UNKNOWN
    layers = len(sizes) or depth
    return UNKNOWN if layers is UNKNOWN else "on" if layers > 3 else "off"
