"""The data sets that scikit-learn ships, read from its files: importing it would take a second."""

import csv
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hypersweep_trainer.data.digest import digest
from hypersweep_trainer.data.raw import Raw

DIABETES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
DIGITS = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
IRIS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
WINE = (
    "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
    "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines",
    "proline",
)  # fmt: skip
MEASURES = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points",
    "symmetry", "fractal dimension",
)  # fmt: skip
CANCER = (
    *(f"mean {measure}" for measure in MEASURES),
    *(f"{measure} error" for measure in MEASURES),
    *(f"worst {measure}" for measure in MEASURES),
)
TABLES = {
    "iris": ("iris.csv", IRIS),
    "wine": ("wine_data.csv", WINE),
    "breast_cancer": ("breast_cancer.csv", CANCER),
}
BRIGHTEST = 16  # of a pixel of digits


def read(name: str, task: str) -> Raw:
    """A data set as scikit-learn's `load_<name>` gives it; diabetes in its original units."""
    if name == "digits":
        return _digits(task)
    if name == "diabetes":
        x = np.loadtxt(_path("diabetes_data_raw.csv.gz"))
        return _table(x, DIABETES, np.loadtxt(_path("diabetes_target.csv.gz")))
    file, columns = TABLES[name]
    with _path(file).open(newline="") as lines:
        names = tuple(next(csv.reader(lines))[2:])  # after the numbers of rows and columns
        rows = np.loadtxt(lines, delimiter=",")
    return _table(rows[:, :-1], columns, rows[:, -1].astype(np.int64), names)


def _digits(task: str) -> Raw:
    rows = np.loadtxt(_path("digits.csv.gz"), delimiter=",")
    x, labels, names = rows[:, :-1], rows[:, -1].astype(np.int64), tuple(map(str, range(10)))
    if task == "tabular":
        return _table(x, DIGITS, labels, names)
    pixels = (x / BRIGHTEST).astype(np.float32).reshape(-1, 1, 8, 8)
    return Raw("image", "classification", labels, digest(pixels, labels), names, pixels=pixels)


def _table(
    x: NDArray[np.float64],
    columns: tuple[str, ...],
    labels: NDArray[np.int64] | NDArray[np.float64],
    names: tuple[str, ...] = (),
) -> Raw:
    target = "classification" if names else "regression"
    table = dict(zip(columns, np.ascontiguousarray(x.T), strict=True))
    return Raw("tabular", target, labels, digest(x, labels), names, columns=table)


def _path(file: str) -> Path:
    spec = find_spec("sklearn")  # finds the package without running it
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / file
