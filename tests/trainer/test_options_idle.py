"""Options that would do nothing beside others are refused, unless another trial can use them."""

import re
from typing import Any

import pytest

from hypersweep_trainer.options import check, resolve
from tests.trainer.words import EFFECT


@pytest.mark.parametrize(
    ("fixed", "swept", "expected"),
    [
        ({"patience": 10, "epochs": 5}, {}, [
            f"patience: needs epochs at least patience + 2, but found 5 with patience=10, {EFFECT}"]),
        ({"patience": 10, "epochs": 11}, {}, [
            f"patience: needs epochs at least patience + 2, but found 11 with patience=10, {EFFECT}"]),
        ({"patience": 10, "epochs": 12}, {}, []),
        ({"patience": 10}, {"epochs": [5, 40]}, []),
        ({"epochs": 5}, {"patience": [3, 16]}, []),
        ({"epochs": 5}, {"patience": [8, 16]}, [
            f"patience: needs epochs at least patience + 2, but found 5 with patience=8, {EFFECT}"]),
        ({"patience": 0, "epochs": 1}, {}, []),
        ({"patience": 9, "epochs": 5, "min_delta": 0.1}, {}, [
            f"patience: needs epochs at least patience + 2, but found 5 with patience=9, {EFFECT}"]),
        ({"min_delta": 0.1}, {}, [
            f"min_delta: needs patience above 0 or restore_best, but found neither, {EFFECT}"]),
        ({"restore_best": True, "min_delta": 0.1}, {}, []),
        ({"min_delta": 0.1}, {"patience": [0, 5]}, []),
        ({"pretrained": "m/", "freeze": ["body.*"], "unfreeze_epoch": 6, "epochs": 5}, {}, [
            "unfreeze_epoch: needs epochs at least unfreeze_epoch, "
            f"but found 5 with unfreeze_epoch=6, {EFFECT}"]),
        ({"pretrained": "m/", "freeze": ["body.*"], "unfreeze_epoch": 5, "epochs": 5}, {}, []),
        ({"schedule": "step", "step_every": 7, "epochs": 7}, {}, [
            f"step_every: needs epochs at least step_every + 1, but found 7 with step_every=7, {EFFECT}"]),
        ({"schedule": "step", "step_every": 7, "epochs": 8}, {}, []),
        ({"schedule": "step", "step_every": 7, "epochs": 5, "pretrain": "masked", "pretrain_epochs": 8},
         {}, []),
        ({"schedule": "step", "epochs": 10}, {}, [
            "schedule: step needs epochs at least step_every + 1, "
            f"but found 10 with step_every=10, {EFFECT}"]),
        ({"epochs": 10}, {"schedule": ["cosine", "step"]}, [
            "schedule: step needs epochs at least step_every + 1, "
            f"but found 10 with step_every=10, {EFFECT}"]),
        ({"schedule": "step"}, {"epochs": [10, 11]}, []),
        ({"schedule": "plateau", "epochs": 5}, {}, [
            "schedule: plateau needs epochs at least plateau_patience + 3, "
            f"but found 5 with plateau_patience=3, {EFFECT}"]),
        ({"schedule": "plateau", "plateau_patience": 4, "epochs": 6}, {}, [
            "plateau_patience: needs epochs at least plateau_patience + 3, "
            f"but found 6 with plateau_patience=4, {EFFECT}"]),
        ({"schedule": "plateau", "plateau_patience": 4, "epochs": 7}, {}, []),
        ({"schedule": "plateau", "plateau_patience": 0, "epochs": 2}, {}, [
            "plateau_patience: needs epochs at least plateau_patience + 3, "
            f"but found 2 with plateau_patience=0, {EFFECT}"]),
    ],
)  # fmt: skip
def test_what_comes_after_the_last_epoch_is_refused_unless_another_trial_comes_to_it(
    fixed: dict[str, object], swept: dict[str, list[object]], expected: list[str]
) -> None:
    assert expected == check(fixed, swept)


def test_targets_that_nothing_softens_need_no_threshold() -> None:
    fixed = {"loss": "bce", "bce_threshold": 0.2}

    assert [
        "bce_threshold: needs mixup_alpha, cutmix_alpha or label_smoothing above 0, but found none, " + EFFECT
    ] == check(fixed, {"lr": [1e-3, 1e-2]})
    assert [] == check(fixed, {"mixup_alpha": [0, 0.4]})
    assert [] == check({"preset": "rsb-a3", "mixup_alpha": 0, "cutmix_alpha": 0}, {})
    assert [] == check({**fixed, "label_smoothing": 0.1, "cutmix_alpha": 1}, {})
    assert [] == check({**fixed, "label_smoothing": 0.9}, {})  # the class itself has 0.19


def test_smoothing_that_a_threshold_undoes_is_refused() -> None:
    fixed = {"loss": "bce", "label_smoothing": 0.1}
    words = (
        "label_smoothing: needs mixup_alpha or cutmix_alpha above 0 beside bce_threshold={}, "
        "but found none, " + EFFECT
    ).format
    facts = {"target": "classification", "categories": "none", "gaps": "none", "numbers": "some"}

    assert [words("0.2")] == check({**fixed, "bce_threshold": 0.2}, {"lr": [1e-3, 1e-2]})
    assert [words("0.01")] == check({**fixed, "bce_threshold": 0.01}, {})  # of 10 classes
    assert [] == check({**fixed, "bce_threshold": 0.01, "data": "wine"}, {})
    assert [] == check({**fixed, "bce_threshold": 0.2}, {"mixup_alpha": [0, 0.4]})
    assert [] == check({**fixed, "bce_threshold": 0.2, "data": "a.csv"}, {})
    with pytest.raises(ValueError, match=f"^{re.escape(words('0.2'))}$"):
        resolve({**fixed, "bce_threshold": 0.2, "data": "a.csv"}, known={**facts, "classes": 4})


@pytest.mark.parametrize(
    ("fixed", "swept", "idle"),
    [
        ({"lr_scaling": "linear"}, {}, True),
        ({}, {"lr_scaling": ["none", "sqrt"]}, True),
        ({"lr_scaling": "linear", "batch_size": 64, "base_batch": 64}, {}, True),
        ({"lr_scaling": "linear"}, {"batch_size": [16, 32]}, False),
        ({"lr_scaling": "linear", "batch_size": "auto"}, {}, False),
        ({"lr_scaling": "linear", "base_batch": 256}, {}, False),
    ],
)
def test_a_rate_that_is_meant_for_the_batch_is_not_scaled(
    fixed: dict[str, Any], swept: dict[str, Any], idle: bool
) -> None:
    rows = fixed.get("batch_size", 32)
    words = f"lr_scaling: needs a batch other than base_batch, but found {rows} rows in both, {EFFECT}"

    assert ([words] if idle else []) == check(fixed, swept)


@pytest.mark.parametrize("name", ["mixup_alpha", "cutmix_alpha", "swap_noise"])
def test_a_row_by_itself_is_not_mixed(name: str) -> None:
    fixed = {"data": "wine", name: 0.5}
    words = f"{name}: needs a batch of at least 2 rows, but found 1, {EFFECT}"

    assert [words] == check({**fixed, "batch_size": 1}, {})
    assert [] == check(fixed, {"batch_size": [1, 8]})
    assert [] == check({**fixed, "batch_size": 1, "batch_scope": "per_rank"}, {}, ranks=2)
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        resolve({**fixed, "batch_size": 1})


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_batch_of_all_ranks_scales_the_rate(ranks: int) -> None:
    fixed = {"lr_scaling": "linear", "batch_scope": "per_rank"}

    assert ["batch_scope", "lr_scaling"][: 4 - 2 * ranks] == [
        problem.partition(":")[0] for problem in check(fixed, {}, ranks=ranks)
    ]


def test_what_comes_after_the_last_epoch_of_one_trial_is_left_out_there() -> None:
    with pytest.raises(ValueError, match=r"^patience: needs epochs at least patience \+ 2, but found 5 with"):
        resolve({"patience": 10, "epochs": 5})
    assert [None, 10] == [resolve({"patience": 10}, {"epochs": epochs}).get("patience") for epochs in (5, 20)]


def test_a_folder_for_data_from_s3_is_of_no_use_to_other_data() -> None:
    assert [f"cache_dir: needs data from s3://, but found a.csv, {EFFECT}"] == check(
        {"data": "a.csv", "cache_dir": "here"}, {}
    )
    assert [] == check({"data": "s3://rows/a.csv", "cache_dir": "here"}, {})


def test_a_run_without_a_sweep_drops_nothing_that_it_was_given() -> None:
    given = {"depth": 2, "stochastic_depth": 0.3}
    words = f"stochastic_depth: needs residual on, but found off, {EFFECT}"

    assert [words] == check(given, {})
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        resolve(given)
    assert "stochastic_depth" not in resolve({"stochastic_depth": 0.3}, {"depth": 2})
