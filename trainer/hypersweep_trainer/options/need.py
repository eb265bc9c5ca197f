"""Needs that many options share; `|` joins two."""

from hypersweep_trainer.options.option import Above, Allowed, Given

Need = dict[str, Allowed]

IMAGE, TABLE, SEQUENCE = ("image",), ("tabular",), ("sequence",)
GRID = ("image", "sequence")  # what has a neighbourhood


def one(name: str, *values: object) -> Need:
    """One of some values."""
    return {name: values}


def more(name: str, bound: float = 0) -> Need:
    """A number above a bound."""
    return {name: Above(bound)}


FILES = one("origin", "file")
TABLES = FILES | one("format", "csv", "parquet")
FOLDERS = FILES | one("format", "images")
CATEGORIES = one("categories", "some")
CLASSES = one("target", "classification")
NUMBERS = one("target", "regression")
REAL = one("target", "regression", "reconstruction")
LABELLED = one("target", "classification", "regression")
DISCRETE = one("target", "classification", "tokens")

OWN = one("architecture", "mlp", "cnn", "transformer")
LIBRARY = one("architecture", "mlp", "cnn", "transformer", "timm")
DENSE = one("architecture", "mlp")
CONV = one("architecture", "cnn")
ATTENTION = one("architecture", "transformer")
RESIDUAL = one("residual", "on")
PRETRAINED: Need = {"pretrained": Given()}
