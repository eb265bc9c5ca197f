"""Columns of text that would be numbers or dates, were it not for a few cells."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.data import label

FEW = 10  # numbers or dates to one that is neither, at least
PADDED = re.compile(r"\s*[+-]?0\d")  # no number is written so, but a code is


@dataclass(frozen=True)
class Stray:
    """The first cell of those that make text of a column."""

    row: int  # counted from 1
    word: str
    count: int  # of such cells
    others: int  # that are numbers or dates
    kind: str  # numbers | dates
    sure: bool  # whether the column is no category

    def __str__(self) -> str:
        return f"row {self.row} is {self.word!r}, but {self.others} others are {self.kind}"

    @property
    def such(self) -> str:
        """These cells in words."""
        return "that cell" if self.count == 1 else f"that cell and {self.count - 1} more of its kind"


def found(cells: NDArray[Any]) -> Stray | None:
    """What is strange in a column of text (n,), None where nothing is.

    Codes of letters and digits can look the same. That cells are none of these is sure where the odd ones
    have neither letters nor digits, as ? has; or where numbers hardly recur, as codes do, and odd words are
    few. Nothing is strange among few different numbers, or with zeros before a number, as in a code.
    """
    count = Counter(cell for cell in cells if cell is not None)
    kinds = {word: label.kind(word) for word in count}
    if any(PADDED.match(word) for word, kind in kinds.items() if kind == "numbers"):
        return None
    sums = {kind: sum(count[word] for word in count if kinds[word] == kind) for kind in label.MEASURED}
    kind = max(label.MEASURED, key=sums.__getitem__)
    odd = [word for word in count if kinds[word] != kind]
    different, others, strange = len(count) - len(odd), sums[kind], sum(count[word] for word in odd)
    signs = strange <= others and not any(letter.isalnum() for word in odd for letter in word)
    if not odd or different <= label.MANY or not (signs or strange * FEW <= others):
        return None
    unique = different * label.ROWS > others and len(odd) * FEW <= different
    row = label.first(np.array([kinds.get(cell, kind) != kind for cell in cells]))
    return Stray(row, cells[row - 1], strange, others, kind, signs or unique)
