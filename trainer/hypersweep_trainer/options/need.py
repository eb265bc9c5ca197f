"""Needs that many options share; `|` joins two."""

from hypersweep_trainer.options.option import Above, Allowed, AtLeast, Given

Need = dict[str, Allowed]

IMAGE, TABLE, SEQUENCE = ("image",), ("tabular",), ("sequence",)
GRID = ("image", "sequence")  # what has a neighbourhood


def one(name: str, *values: object) -> Need:
    """One of some values."""
    return {name: values}


def more(name: str, bound: float = 0) -> Need:
    """A number above a bound."""
    return {name: Above(bound)}


def lasting(option: str, more: int = 0) -> Need:
    """As many epochs as an option counts, and some more, for something to come of it."""
    return {"epochs": AtLeast(option, more)}


FILES = one("origin", "file")
TABLES = FILES | one("format", "csv", "parquet")
SINGLE = one("reading", "single")
CATEGORIES = one("categories", "some")
NUMERIC = one("numbers", "some")  # columns of numbers
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
LEARNED = one("weights", "some")
TABULAR = DENSE | LABELLED | one("task", "tabular")  # rows are few, and their scale means something
