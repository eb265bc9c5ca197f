"""Combinations of options that cannot be: one exceeds what others leave, also to each of several ranks."""

import re
from typing import Any

import pytest

from hypersweep_trainer.options import check, resolve
from tests.trainer.words import EFFECT


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"grad_accum": 33}, [
            "grad_accum: must be at most 32, a rank's rows of a step, "
            "but found 33 with batch_size=32, ranks=1"]),
        ({"data": "iris", "batch_size": 151}, [
            "batch_size: must be at most 150, the rows of iris, but found 151"]),
        ({"data": "markov", "synthetic_rows": 40, "batch_size": 41}, [
            "batch_size: must be at most 40, the rows of markov, but found 41"]),
        ({"data": "markov", "synthetic_rows": 20}, []),
        ({"data": "iris", "preset": "mlp-table"}, []),
        ({"repeated_augmentation": 3, "batch_size": 2}, [
            "repeated_augmentation: must be at most 2, the rows of a step, but found 3"]),
        ({"model": "cnn", "kernel": 9}, ["kernel: must be at most 8, the smaller side, but found 9"]),
        ({"model": "cnn", "kernel": 9, "image_size": 16}, []),
        ({"model": "cnn", "kernel": 33, "data": "synthetic_images"}, [
            "kernel: must be at most 32, the smaller side, but found 33"]),
        ({"model": "cnn", "kernel": 33, "data": "photos/"}, []),
        ({"model": "cnn", "kernel": 63, "data": "own.npz", "task": "image"}, []),
        ({"model": "cnn", "kernel": 9, "data": "brackets", "context": 8}, [
            "kernel: must be at most 8, the smaller side, but found 9"]),
        ({"model": "cnn", "kernel": 7, "dilation": 3}, [
            "dilation: must be at most 2 to reach a point of a side of 8, but found 3 with kernel=7"]),
        ({"model": "cnn", "kernel": 7, "dilation": 2}, []),
        ({"model": "cnn", "aspp_rates": [1, 8]}, [
            "aspp_rates: must be below 8, the smaller side, but found 8"]),
        ({"model": "transformer", "patch": 9}, ["patch: must be at most 8, the smaller side, but found 9"]),
        ({"model": "transformer", "patch": 8}, []),
        ({"crop_pad": 8}, ["crop_pad: must be below 8, the smaller side, but found 8"]),
        ({"model": "transformer", "width": 8, "heads": 9}, []),
        ({"data": "diabetes", "target_norm": "none", "loss": "msle", "output_range": [0, 400]}, [
            "output_range: needs a loss other than msle, which has a range of its own, but found msle"]),
        ({"warmup": 1}, ["warmup: must be below 1 to leave steps to schedule cosine, but found 1"]),
        ({"warmup": 1, "schedule": "constant"}, []),
        ({"data": "a.csv", "label": "y", "features": ["x", "y"]}, [
            "features: must not hold the label, but found y"]),
        ({"data": "a.csv", "features": ["x"], "categorical": ["x", "k", "q"]}, [
            "categorical: must be among features, but found k, q"]),
        ({"data": "a.csv", "features": ["x"], "categorical": ["y"]}, []),
        ({"data": "a.csv", "label": "y", "features": ["x"], "categorical": ["x", "y"]}, []),
        ({"data": "a.csv", "label": "y", "features": ["x"], "categorical": ["k"]}, [
            "categorical: must be among features, but found k"]),
        ({"loss": "focal", "focal_alpha": 0.25, "data": "markov"}, [
            f"focal_alpha: needs target classification, but found tokens, {EFFECT}"]),
        ({"focal_alpha": 0.25}, [f"focal_alpha: needs loss focal, but found cross_entropy, {EFFECT}"]),
    ],
)  # fmt: skip
def test_values_that_cannot_be_together_are_told_before_anything_runs(
    options: dict[str, Any], expected: list[str]
) -> None:
    assert expected == check(options, {})
    if expected and EFFECT not in expected[0]:
        with pytest.raises(ValueError, match=f"^{re.escape(expected[0])}$"):
            resolve(options)


@pytest.mark.parametrize(
    ("fixed", "ranks", "expected"),
    [
        ({"norm": "batch", "sync_bn": True}, 2, []),
        ({"norm": "batch", "sync_bn": True}, None, []),
        ({"batch_scope": "per_rank"}, 2, []),
        ({"norm": "batch", "batch_size": 3}, 2, ["batch_size"]),
        ({"norm": "batch", "batch_size": 4}, 2, []),
        ({"norm": "batch", "batch_size": 2, "batch_scope": "per_rank"}, 2, []),
        ({"norm": "batch", "batch_size": 2, "sync_bn": True}, 2, []),
        ({"norm": "batch", "batch_size": 4, "grad_accum": 2}, 2, ["batch_size"]),
        ({"batch_size": 8, "grad_accum": 5}, 1, []),
        ({"batch_size": 8, "grad_accum": 5}, 2, ["grad_accum"]),
        ({"batch_size": 8, "grad_accum": 5, "batch_scope": "per_rank"}, 2, []),
        ({"batch_size": 8, "grad_accum": 5}, None, []),
    ],
)
def test_what_depends_on_the_number_of_ranks_is_asked_of_it(
    fixed: dict[str, Any], ranks: int | None, expected: list[str]
) -> None:
    assert expected == [problem.partition(":")[0] for problem in check(fixed, {}, ranks=ranks)]
