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


DATASETS: Mapping[str, Dataset] = {
    "digits": Dataset(("image", "tabular"), "classification"),
    "breast_cancer": Dataset(("tabular",), "classification"),
    "diabetes": Dataset(("tabular",), "regression"),
    "wine": Dataset(("tabular",), "classification"),
    "iris": Dataset(("tabular",), "classification"),
    "synthetic_images": Dataset(("image",), "classification", "synthetic"),
    "synthetic_table": Dataset(("tabular",), "classification", "synthetic", "some", "some"),
    "synthetic_curve": Dataset(("tabular",), "regression", "synthetic"),
    "markov": Dataset(("sequence",), "tokens", "synthetic"),
    "brackets": Dataset(("sequence",), "classification", "synthetic"),
}
FORMATS = {"csv": "tabular", "parquet": "tabular", "npz": "", "images": "image", "text": "sequence"}
ENDINGS = {"csv": "csv", "parquet": "parquet", "npz": "npz", "txt": "text", "text": "text"}
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
READS: Mapping[str, tuple[str, ...]] = {  # what a fact follows from, itself as an option included
    **dict.fromkeys(("format", "task", "target", "origin", "categories", "gaps"), OF_DATA),
    "architecture": ("model",),
    "residual": ("residual", "architecture", "hidden", "depth"),
    "ranks": (),
}


def of_data(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """`origin`, `format`, `task`, `target`, `categories`, `gaps` of the data that the options name."""
    facts = _of_source(chosen)
    for option in ("task", "target"):
        if chosen[option] != "auto":
            facts[option] = chosen[option]
    if facts["target"] == "reconstruction":
        facts["categories"] = "none"
    return facts


def _of_source(chosen: Mapping[str, Any]) -> dict[str, Any]:
    name = chosen["data"]
    if name is UNKNOWN:
        return dict.fromkeys(("origin", "format", "task", "target", "categories", "gaps"), UNKNOWN)
    if name in DATASETS:
        known = DATASETS[name]
        return {
            "origin": known.origin,
            "format": "none",
            "task": known.tasks[0],
            "target": known.target,
            "categories": known.categories,
            "gaps": known.gaps,
        }
    if re.fullmatch(IMPORT, name):
        facts = {"origin": "import", "format": "none", "task": UNKNOWN, "target": UNKNOWN}
        return facts | {"categories": "none", "gaps": "none"}
    return _of_file(name, chosen["format"])


def _of_file(path: str, chosen: Any) -> dict[str, Any]:
    kind = format_of(path) if chosen == "auto" else chosen
    if kind is UNKNOWN:
        return dict.fromkeys(("format", "task", "target", "categories", "gaps"), UNKNOWN) | {"origin": "file"}
    cells = UNKNOWN if kind in ("csv", "parquet") else "none"
    task = FORMATS[kind] or UNKNOWN
    target = "tokens" if kind == "text" else "classification" if kind != "npz" else UNKNOWN
    facts = {"origin": "file", "format": kind, "task": task, "target": target}
    return facts | {"categories": cells, "gaps": UNKNOWN if kind == "npz" else cells}


def format_of(path: str) -> str:
    """What kind of file a path names, by its ending; a folder holds images, one for each class."""
    ending = path.rstrip("/").rpartition(".")[2].lower() if "." in path.rpartition("/")[2] else ""
    return ENDINGS.get(ending, "images")


def architecture(model: Any) -> Any:
    """The kind of network: one of ARCHITECTURES, or of MODELS."""
    if model is UNKNOWN or model in ARCHITECTURES:
        return model
    return "timm" if model.startswith("timm:") else "import"


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
