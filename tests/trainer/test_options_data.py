"""What options say of data: its metrics are known before it is read, and its facts when it is."""

import re
from typing import Any

import pytest

from hypersweep_trainer.options import DATASETS, METRICS, ON_REQUEST, check, metrics, resolve
from tests.trainer.words import EFFECT


@pytest.mark.parametrize("data", DATASETS)
def test_every_data_set_resolves_and_reports_the_metrics_of_its_target(data: str) -> None:
    target = DATASETS[data].target

    assert DATASETS[data].tasks[0] == resolve({"data": data})["task"]
    assert (*METRICS[target], *ON_REQUEST.get(target, ())) == metrics({"data": data})


def test_what_only_the_data_knows_is_settled_when_it_tells() -> None:
    fixed = {"data": "a.csv", "cat_encoder": "onehot"}

    assert {"cat_encoder", "missing"} <= set(resolve(fixed))
    assert "missing" not in resolve(fixed, known={"categories": "some", "gaps": "none"})
    with pytest.raises(
        ValueError, match=r"^cat_encoder: needs data with categories, but found none in a\.csv, so"
    ):
        resolve(fixed, known={"categories": "none", "gaps": "none"})
    with pytest.raises(
        ValueError, match=r"^emb_dim: needs data with categories, but found none in a\.csv, so"
    ):
        resolve({"data": "a.csv"}, {"emb_dim": 3}, known={"categories": "none", "gaps": "none"})


@pytest.mark.parametrize(
    ("fixed", "facts", "expected"),
    [
        ({"data": "a.npz", "task": "sequence", "context": 8}, {"length": "own"}, (
            "context: needs data whose rows can be of any length, but found rows of one length in a.npz")),
        ({"data": "a.npz", "task": "sequence", "context": 8}, {"length": "free"}, ""),
        ({"data": "a.npz", "task": "sequence", "model": "cnn", "kernel": 63}, {"length": "own"}, ""),
        *(
            ({"data": "a.csv", **one}, {"numbers": "none", "categories": "some"}, (
                f"{name}: needs data with columns of numbers, but found none in a.csv"))
            for name, one in {
                "num_encoder": {"num_encoder": "none"},
                "quantiles": {"num_encoder": "quantile", "quantiles": 20},
                "rankgauss_unit": {"num_encoder": "rankgauss", "rankgauss_unit": False},
                "noise": {"noise": 0.1},
            }.items()
        ),
        ({"data": "a.csv", "noise": 0.1}, {"numbers": "some"}, ""),
        ({"data": "a.csv", "noise": 0.1, "cat_encoder": "onehot"}, {
            "numbers": "none", "categories": "some"}, ""),
        ({"data": "a.csv", "swap_noise": 0.1}, {"numbers": "none"}, ""),
        ({"data": "own:data", "task": "tabular", "missing": "mean"}, {"gaps": "some"}, ""),
        ({"data": "own:data", "task": "tabular", "missing": "mean"}, {}, (
            "missing: needs data with empty cells, but found none in own:data")),
    ],
)  # fmt: skip
def test_what_the_data_turns_out_not_to_have_is_told_when_it_is_read(
    fixed: dict[str, Any], facts: dict[str, Any], expected: str
) -> None:
    target = "tokens" if fixed["data"] == "a.npz" else "classification"
    target = "classification" if "kernel" in fixed else target
    plain = {"target": target, "categories": "none", "numbers": "some", "gaps": "none", "length": "free"}

    assert [] == check(fixed, {})
    if not expected:
        assert fixed.items() <= resolve(fixed, known={**plain, **facts}).items()
        return
    with pytest.raises(ValueError, match=re.escape(f"{expected}, {EFFECT}")):
        resolve(fixed, known={**plain, **facts})


def test_own_data_is_anything_until_it_is_read() -> None:
    fixed = {"data": "module:data", "epochs": 2}
    known = {"task": "sequence", "target": "tokens", "categories": "none", "gaps": "none"}

    assert ["auto", "auto"] == [resolve(fixed)[name] for name in ("task", "target")]
    assert ["sequence", "tokens", "transformer", "cross_entropy"] == [
        resolve(fixed, known=known)[name] for name in ("task", "target", "model", "loss")
    ]


def test_an_objective_names_what_every_run_of_the_sweep_reports() -> None:
    assert "val_auroc" in metrics({})
    assert ("train_loss", "val_loss") == metrics({}, {"data": ["digits", "diabetes", "markov"]})
    assert {"val_accuracy", "val_rmse", "val_perplexity"} <= set(metrics({"data": "module:data"}))
    assert metrics({}) == metrics({"lr": "fast", "colour": 1})
    assert "val_rmse" in metrics({"data": 3})
