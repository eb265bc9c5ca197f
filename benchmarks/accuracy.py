"""The test score of the defaults beside the best of scikit-learn's: `python -m benchmarks.accuracy`.

On ten splits of each data set. Ours learns from the training part alone (60 % of the rows), with nothing set
but `model: cnn` for digits. Theirs are models with their own defaults behind a StandardScaler, trained on
the training and the validation part (80 %), of which 5-fold cross-validation there chooses the best for each
split. Scores are accuracies, and R² of the regression. Our defaults were chosen on other splits (100 to 139).
"""

import argparse
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from statistics import mean, median, stdev
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from hypersweep_trainer.checkpoint import Checkpoints
from hypersweep_trainer.config import Config, Place
from hypersweep_trainer.data import bundled, split
from hypersweep_trainer.options import Options
from hypersweep_trainer.output import Silence
from hypersweep_trainer.rank import join
from hypersweep_trainer.train import train
from hypersweep_trainer.writer import Writer

SPLITS = 10
SETS: Mapping[str, Mapping[str, Any]] = {
    "digits": {"model": "cnn"}, "breast_cancer": {}, "wine": {}, "diabetes": {},
}  # fmt: skip
CLASSIFIERS: Mapping[str, Callable[[int], Any]] = {
    "logistic regression": lambda seed: LogisticRegression(),
    "SVC": lambda seed: SVC(),
    "MLP": lambda seed: MLPClassifier(random_state=seed),
    "gradient boosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
}
REGRESSORS: Mapping[str, Callable[[int], Any]] = {
    "Ridge": lambda seed: Ridge(),
    "SVR": lambda seed: SVR(),
    "MLP": lambda seed: MLPRegressor(random_state=seed),
    "gradient boosting": lambda seed: HistGradientBoostingRegressor(random_state=seed),
}


def ours(name: str, options: Mapping[str, Any], seed: int) -> tuple[float, float]:
    """The test score of a run, and the seconds that it took."""
    given = json.dumps({"data": name, "split_seed": seed, "save_model": False, **options})
    environment = {"HYPERSWEEP_TRAINER": given, "HYPERSWEEP_SEED": str(seed), "HYPERSWEEP_FINAL": "1"}
    config, began = Config.read(environment), time.perf_counter()
    outcome = train(config, join(Place()), Silence(), Checkpoints([], "", Writer(print)), lambda: False)
    metrics = outcome.rows[-1]["metrics"]
    return metrics.get("test_accuracy", metrics.get("test_r2")), time.perf_counter() - began


def theirs(name: str, seed: int) -> tuple[float, str]:
    """The test score of the model that cross-validation finds best, and its name."""
    raw = bundled.read(name, "tabular")
    assert raw.columns is not None
    x, y = np.stack(list(raw.columns.values()), 1), raw.labels
    options = Options(data=name, task="tabular", target=raw.target, split_seed=seed)
    parts = split.rows(len(y), y, options, 1.0)
    known = np.sort(np.concatenate([parts.train, parts.val]))
    discrete = raw.target == "classification"
    folds = (StratifiedKFold if discrete else KFold)(5, shuffle=True, random_state=seed)
    models = {
        kind: make_pipeline(StandardScaler(), make(seed))
        for kind, make in (CLASSIFIERS if discrete else REGRESSORS).items()
    }
    scores = {kind: cross_val_score(one, x[known], y[known], cv=folds).mean() for kind, one in models.items()}
    best = max(scores, key=lambda kind: float(scores[kind]))
    return models[best].fit(x[known], y[known]).score(x[parts.test], y[parts.test]), best


def compare(name: str, options: Mapping[str, Any]) -> None:
    mine, seconds = zip(*(ours(name, options, seed) for seed in range(SPLITS)), strict=True)
    best, kinds = zip(*(theirs(name, seed) for seed in range(SPLITS)), strict=True)
    gains = [one - other for one, other in zip(mine, best, strict=True)]
    error = stdev(gains) / SPLITS**0.5
    chosen = ", ".join(f"{kind} {count}" for kind, count in Counter(kinds).most_common())
    print(f"{name}: {mean(mine):.4f}, theirs {mean(best):.4f} ({chosen}); {median(seconds):.1f} s a run")
    print(
        f"  ours - theirs: {mean(gains):+.4f}, to reach: {-error:.4f} (a paired standard error)", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="*", help=f"of {', '.join(SETS)}; all of them without")
    names = parser.parse_args().data or list(SETS)
    warnings.simplefilter("ignore", ConvergenceWarning)  # of MLPs that stop after 200 epochs, by default
    torch.set_num_threads(1)
    for name in names:
        compare(name, SETS[name])


if __name__ == "__main__":
    main()
