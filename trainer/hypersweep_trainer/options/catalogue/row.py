"""One entry of the catalogue."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A topic of deep learning's hyperparameters, and where it is found here."""

    number: int
    topic: str
    options: tuple[str, ...]  # of the trainer; also checks and strategies
    source: str
    tests: tuple[str, ...]  # below tests/, as file::function
