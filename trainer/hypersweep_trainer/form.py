"""What a network takes and gives: the shape of a row, and what is predicted of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """Rows come as float32 (n, *shape), those of a sequence as int64 (n, context)."""

    task: str  # image | tabular | sequence
    target: str  # classification | regression | tokens | reconstruction
    shape: tuple[int, ...]  # of one row: (columns,), (channels, height, width) or (context,)
    outputs: int  # classes, 1 for a number, the vocabulary's size, or the numbers to rebuild
    numbers: int = 0  # columns of a table that hold numbers; they come first
    categories: tuple[int, ...] = ()  # codes of each category column after them; code 0 is an unseen category
    vocabulary: int = 0  # tokens of a sequence; token 0 stands for what is hidden or unseen
    bounds: tuple[float, float] | None = None  # of a prediction, in the scaled units of training
