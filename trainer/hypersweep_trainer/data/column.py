"""Encoders of columns of numbers: fitted on training rows, kept as plain types, rebuilt to the last bit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from hypersweep_trainer.options import Options

Numbers = NDArray[np.float64]
EDGE = 1e-7  # scikit-learn's: how close to its least and greatest number a column counts as there
LEAST = 1e-300  # spread below which numbers count as equal, since no float64 holds its reciprocal
POINTS = 10_000  # of a RankGauss table at most; between them it is linear


@dataclass(frozen=True)
class Linear:
    """(x - center) * factor; a column that is constant in training has the factor 0."""

    center: float
    factor: float

    @classmethod
    def fit(cls, cells: Numbers) -> Self:
        """To mean 0 and deviation 1."""
        scale = deviation(cells)
        return cls(float(cells.mean()), 1 / scale if scale else 0.0)

    def apply(self, cells: Numbers) -> Numbers:
        """Encoded cells (n,) of ones without gaps, as of every encoder here."""
        return (cells - self.center) * self.factor


@dataclass(frozen=True)
class Quantile:
    """The normal quantile of x's share among the training rows: scikit-learn's QuantileTransformer."""

    quantiles: tuple[float, ...]  # of x, evenly spaced in share

    @classmethod
    def fit(cls, cells: Numbers, count: int) -> Self:
        """With `count` quantiles, but no more than rows."""
        quantiles = np.percentile(cells, np.linspace(0, 1, min(count, len(cells))) * 100)
        return cls(tuple(np.maximum.accumulate(quantiles).tolist()))

    def apply(self, cells: Numbers) -> Numbers:
        x, shares = np.array(self.quantiles), np.linspace(0, 1, len(self.quantiles))
        # From both sides, so that a number which many rows share lies in the middle of their shares.
        share = (np.interp(cells, x, shares) - np.interp(-cells, -x[::-1], -shares[::-1])) / 2
        edge = EDGE * min(1.0, x[-1] - x[0])  # scikit-learn's may be wider than the column
        share = np.where(cells + edge > x[-1], 1.0, np.where(cells - edge < x[0], 0.0, share))
        low, high = _normal(np.array([EDGE - np.spacing(1), 1 - (EDGE - np.spacing(1))]))
        return _normal(share).clip(low, high)


@dataclass(frozen=True)
class RankGauss:
    """The inverse error function of the rank, less its mean (Jahrer 2017); beyond its ends it is flat."""

    numbers: tuple[float, ...]  # rising
    places: tuple[float, ...]  # what they become

    @classmethod
    def fit(cls, cells: Numbers, unit: bool) -> Self:
        """erfinv(2 (rank + 1/2) / n - 1), equal cells at their mean rank; `unit` makes the deviation 1."""
        numbers, codes, rows = np.unique(cells, return_inverse=True, return_counts=True)
        rank = np.cumsum(rows) - (rows + 1) / 2
        places = torch.erfinv(torch.from_numpy(2 * (rank + 0.5) / len(cells) - 1)).numpy()
        places *= np.sqrt(2) if unit else 1.0
        places -= places[codes].mean()
        kept = _thinned(places)
        return cls(tuple(numbers[kept].tolist()), tuple(places[kept].tolist()))

    def apply(self, cells: Numbers) -> Numbers:
        return np.interp(cells, self.numbers, self.places)


Column = Linear | Quantile | RankGauss


def fit(cells: Numbers, known: Numbers, options: Options) -> Column:
    """The encoder `num_encoder` for training rows' cells (n,), gaps filled; `known` are the others alone."""
    if options.num_encoder == "none":
        return Linear(0.0, 1.0)
    if options.num_encoder == "standard" or not deviation(cells):
        return Linear.fit(cells)
    if options.num_encoder == "quantile":
        return Quantile.fit(cells, options.quantiles)
    binary = bool(np.isin(known, (0, 1)).all())
    return Linear(0.0, 1.0) if binary else RankGauss.fit(cells, options.rankgauss_unit)


def deviation(cells: Numbers) -> float:
    """Of numbers (n,) from their mean, 0 where they are equal; their squares need not fit float64."""
    spread = np.ptp(cells)
    if spread < LEAST:
        return 0.0
    exponent = np.frexp(spread)[1]  # a power of 2 leaves all digits as they are
    return float(np.ldexp(np.ldexp(cells, -exponent).std(), exponent))


def plain(column: Column) -> dict[str, Any]:
    """JSON types, of which `load` makes the encoder again."""
    values = asdict(column).items()
    return {
        "kind": type(column).__name__.lower(),
        **{name: list(value) if isinstance(value, tuple) else value for name, value in values},
    }


def load(encoding: Mapping[str, Any]) -> Column:
    """The encoder of `plain`; entries that are not its own do not matter."""
    match encoding["kind"]:
        case "linear":
            return Linear(encoding["center"], encoding["factor"])
        case "quantile":
            return Quantile(tuple(encoding["quantiles"]))
    return RankGauss(tuple(encoding["numbers"]), tuple(encoding["places"]))


def _thinned(places: Numbers) -> NDArray[np.int64]:
    """At most POINTS of rising places: all, or half of them even in rank and half in place, for the tails."""
    if len(places) <= POINTS:
        return np.arange(len(places))
    by_rank = np.linspace(0, len(places) - 1, POINTS // 2).round().astype(np.int64)
    by_place = np.searchsorted(places, np.linspace(places[0], places[-1], POINTS // 2))
    return np.union1d(by_rank, by_place)


def _normal(share: Numbers) -> Numbers:
    """Quantiles of the normal distribution."""
    quantiles: Numbers = torch.special.ndtri(torch.from_numpy(share)).numpy()
    return quantiles
