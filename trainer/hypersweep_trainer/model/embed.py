"""Tables and tokens as vectors that can be blended."""

import math

import torch
from torch import Tensor, nn

from hypersweep_trainer.form import Form
from hypersweep_trainer.options import Options


class OneHot(nn.Module):
    """Columns (n, numbers and codes) -> (n, numbers + categories): code k gives a 1 at place k - 1."""

    column: Tensor
    code: Tensor

    def __init__(self, numbers: int, categories: tuple[int, ...]) -> None:
        super().__init__()
        self._numbers = numbers
        columns = [numbers + place for place, codes in enumerate(categories) for _ in range(1, codes)]
        codes = [code for codes in categories for code in range(1, codes)]
        self.register_buffer("column", torch.tensor(columns, dtype=torch.int64), persistent=False)
        self.register_buffer("code", torch.tensor(codes, dtype=torch.int64), persistent=False)
        self.width = numbers + len(codes)

    def forward(self, x: Tensor) -> Tensor:
        hot = x.index_select(1, self.column) == self.code
        return torch.cat((x[:, : self._numbers], hot.to(x.dtype)), 1)


class Vectors(nn.Module):
    """Columns (n, numbers and codes) -> (n, numbers + lengths of all vectors): code 0 gives zeros."""

    def __init__(self, numbers: int, categories: tuple[int, ...], length: int | str) -> None:
        super().__init__()
        self._numbers = numbers
        lengths = [root(codes - 1) if isinstance(length, str) else length for codes in categories]
        tables = (nn.Embedding(*size, padding_idx=0) for size in zip(categories, lengths, strict=True))
        self.tables = nn.ModuleList(tables)
        self.width = numbers + sum(lengths)

    def forward(self, x: Tensor) -> Tensor:
        codes = x[:, self._numbers :].long().unbind(1)
        vectors = (table(code) for table, code in zip(self.tables, codes, strict=True))
        return torch.cat((x[:, : self._numbers], *vectors), 1)


class Tokens(nn.Module):
    """Tokens (n, context) -> (n, width, context), as convolutions take them."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)

    def forward(self, x: Tensor) -> Tensor:
        vectors: Tensor = self.table(x)
        return vectors.transpose(1, 2)


def root(categories: int) -> int:
    """The length of a category's vector: the square root of their number, rounded up."""
    return math.isqrt(max(categories, 1) - 1) + 1


def columns(options: Options, form: Form) -> tuple[nn.Module, int]:
    """What makes numbers of rows that have no neighbourhood, and how many it makes."""
    if form.categories and options.cat_encoder == "onehot":
        hot = OneHot(form.numbers, form.categories)
        return hot, hot.width
    if form.categories:
        vectors = Vectors(form.numbers, form.categories, options.emb_dim)
        return vectors, vectors.width
    return nn.Identity() if len(form.shape) == 1 else nn.Flatten(), math.prod(form.shape)
