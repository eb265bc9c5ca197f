"""The table of options: what it says holds, and what is wrong is refused in words that help."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from graphlib import TopologicalSorter
from itertools import product
from random import Random
from typing import Any

import pytest

from hypersweep_trainer.options import (
    DATASETS,
    METRICS,
    ON_REQUEST,
    OPTIONS,
    PRESETS,
    Options,
    check,
    metrics,
    near,
    resolve,
)
from hypersweep_trainer.options.admission import ELSEWHERE
from hypersweep_trainer.options.branch import Branch, influences
from hypersweep_trainer.options.facts import READS, TARGETS
from hypersweep_trainer.options.option import (
    ASKED,
    CARRIED,
    HORIZONS,
    MEASURED,
    TASKS,
    AtLeast,
    Needs,
    Option,
)

IMPACT = {  # where practitioners agree
    "High": {
        "rand_augment_n", "mixup_alpha", "cutmix_alpha", "num_encoder", "cat_encoder", "emb_dim",
        "image_norm", "flip", "crop_pad", "width", "hidden", "pretrained", "freeze", "unfreeze_epoch",
        "epochs", "lr", "loss", "noise", "swap_noise", "token_drop", "span_mask", "quantiles",
        "rankgauss_unit",
    },
    "Medium": {"image_size", "depth", "init", "dropout", "dropout_scale", "batch_size", "schedule", "warmup"},
    "Low": {
        "coordconv", "pos_enc", "activation", "residual", "stochastic_depth", "dropconnect", "optimizer",
        "patience", "weight_decay", "l2", "label_smoothing",
    },
    "": {"norm", "sync_bn", "tie_weights", "se_ratio", "target_norm"},
}  # fmt: skip


def needs(option: Option) -> list[Needs]:
    return [option.conditions, *option.value_needs.values(), *(needs for needs, _ in option.defaults)]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_complete_and_its_own_values_lie_in_its_domain(name: str) -> None:
    option = OPTIONS[name]
    sweep = option.first_sweep

    assert name == option.name
    assert option.meaning.endswith(".")
    assert option.hint == "" or option.hint.endswith(".")
    assert option.horizon in HORIZONS
    assert option.impact in ("", "High", "Medium", "Low")
    assert set(option.tasks) <= set(TASKS)
    assert set(option.value_needs) <= {*option.values, "true"}
    for value in (option.default, *(value for _, value in option.defaults), *sweep):
        assert value == option.accept(value)
    if option.numeric:
        assert sweep == tuple(sorted(sweep))
        assert not option.log or not sweep or sweep[0] > 0


def test_every_option_has_a_source_and_a_first_sweep_or_a_reason_to_have_none() -> None:
    reasons = {option.unswept for option in OPTIONS.values() if not option.first_sweep}

    assert [] == [name for name, option in OPTIONS.items() if not option.source]
    assert [] == [
        name for name, option in OPTIONS.items() if bool(option.first_sweep) == bool(option.unswept)
    ]
    assert {ASKED, MEASURED, CARRIED} < reasons
    with pytest.raises(AssertionError, match="an option needs a source: How much"):
        Option("much", "bool", False, "How much.", first_sweep=(False, True))
    with pytest.raises(AssertionError, match="a sweep, or why there is none: How much"):
        Option("much", "bool", False, "How much.", source="ours")


@pytest.mark.parametrize("name", OPTIONS)
def test_needs_name_options_or_facts_and_values_that_these_can_have(name: str) -> None:
    for need in needs(OPTIONS[name]):
        for gate, allowed in need.items():
            assert gate in OPTIONS or gate in READS
            assert not isinstance(allowed, AtLeast) or OPTIONS[allowed.option].numeric
            if gate in OPTIONS and isinstance(allowed, tuple):
                assert list(allowed) == [OPTIONS[gate].accept(value) for value in allowed]


def test_no_option_waits_for_itself() -> None:
    waits = {
        name: influences(name) - {name} - set(READS) - {"data", "preset"}
        for name in OPTIONS
        if name not in READS
    }

    assert len(list(TopologicalSorter(waits).static_order())) >= len(waits)


def test_the_typed_configuration_and_the_table_hold_the_same_defaults() -> None:
    assert {entry.name: entry.default for entry in fields(Options)} == {
        name: option.default for name, option in OPTIONS.items()
    }


@pytest.mark.parametrize("data", DATASETS)
def test_every_data_set_resolves_and_reports_the_metrics_of_its_target(data: str) -> None:
    target = DATASETS[data].target

    assert DATASETS[data].tasks[0] == resolve({"data": data})["task"]
    assert (*METRICS[target], *ON_REQUEST.get(target, ())) == metrics({"data": data})


SOURCES = (*DATASETS, "a.csv", "a.npz", "photos/", "a.txt", "module:data")
MODELS = ("", "mlp", "cnn", "transformer", "timm:resnet18", "module:net")


def configurations() -> Iterator[dict[str, Any]]:
    """Every kind of data, network and target, with every preset."""
    for data, model, target, preset in product(SOURCES, MODELS, ("", *TARGETS), PRESETS):
        chosen = {"data": data, "model": model, "target": target, "preset": preset}
        yield {name: value for name, value in chosen.items() if value}


def test_whatever_resolves_has_defaults_that_are_possible_there() -> None:
    found = 0
    for fixed in configurations():
        try:
            resolved = resolve(fixed)
        except ValueError:
            continue
        found += 1
        for name, value in resolved.items():
            option = OPTIONS[name]
            wanted = option.value_needs.get(value, {}) if isinstance(value, str) else {}
            assert value == option.accept(value)
            assert Branch(fixed).met(wanted), f"{name}: {value} with {fixed}"

    assert found > 500


def test_a_resolved_configuration_resolves_to_itself() -> None:
    for fixed in ({}, {"data": "iris"}, {"data": "markov"}, {"model": "cnn", "optimizer": "sgd"}):
        resolved = resolve(fixed)

        assert resolved == resolve(resolved)


def test_a_resolved_configuration_leaves_out_what_has_no_effect() -> None:
    resolved = resolve({"epochs": 3, "beta1": 0.8}, {"optimizer": "sgd", "lr": 1})

    assert {"epochs": 3, "optimizer": "sgd", "lr": 1.0, "momentum": 0.9} == {
        name: resolved[name] for name in ("epochs", "optimizer", "lr", "momentum")
    }
    assert not {"beta1", "beta2", "eps"} & set(resolved)


def test_impacts_are_those_of_common_advice() -> None:
    of = {impact: {name for name, option in OPTIONS.items() if option.impact == impact} for impact in IMPACT}

    assert IMPACT == {impact: names & set().union(*IMPACT.values()) for impact, names in of.items()}


def test_defaults_follow_the_choices_that_they_depend_on() -> None:
    assert [1e-3, 0.1] == [resolve({"optimizer": name})["lr"] for name in ("adamw", "sgd")]
    assert 1e-3 == resolve({"model": "transformer"})["lr"]
    assert [3e-3, 1e-3] == [resolve({"data": "wine", "optimizer": name})["lr"] for name in ("adamw", "adam")]
    assert [1.0, 0.01] == [resolve({"data": name})["weight_decay"] for name in ("wine", "diabetes")]
    assert resolve({"model": "cnn"})["width"] < resolve({"model": "mlp"})["width"] == OPTIONS["width"].default
    assert "mse" == resolve({"data": "diabetes"})["loss"]
    assert "transformer" == resolve({"data": "markov"})["model"]
    assert ["off", "on"] == [resolve({"depth": depth})["residual"] for depth in (3, 4)]
    assert "on" == resolve({"data": "brackets", "depth": 1})["residual"]


def test_a_transferred_network_sees_images_as_it_did_before() -> None:
    own = {"model": "timm:resnet18", "pretrained": "true"}

    assert "dataset" == resolve({})["image_norm"]
    assert "pretrained" == resolve(own)["image_norm"]
    assert "dataset" == resolve({**own, "image_norm": "dataset"})["image_norm"]


# -- what is refused when a sweep is checked

EFFECT = "so it would have no effect"


@pytest.mark.parametrize(
    ("fixed", "swept", "expected"),
    [
        ({}, {"lr": [1e-4, 0.1], "dropout": [0, 0.5]}, []),
        ({}, {"optimizer": ["sgd", "adamw"], "momentum": [0.5, 0.9]}, []),
        ({"optimizer": "sgd"}, {"momentum": [0, 0.9], "nesterov": [True]}, []),
        ({}, {"hidden": [[], [64, 32]], "width": [16, 64]}, []),
        ({}, {"data": ["digits", "iris"], "model": ["mlp"]}, []),
        ({}, {"data": ["digits", "markov"]}, []),
        ({}, {"depth": [2, 5], "zero_init_residual": [False, True]}, []),
        ({"batch_size": "auto", "lr": "auto"}, {}, []),
        ({"data": "a.csv", "cat_encoder": "onehot", "missing": "mean"}, {"emb_dim": [1, 9]}, [
            "emb_dim: needs cat_encoder embedding, but found onehot, so it would have no effect"]),
        ({"data": "module:data", "loss": "mae", "kernel": 5, "model": "cnn"}, {"huber_delta": []}, [
            "huber_delta: needs loss huber, but found mae, so it would have no effect"]),
        (
            {"optimizer": "adamw", "momentum": 0.9}, {},
            [f"momentum: needs optimizer sgd, rmsprop or muon, but found adamw, {EFFECT}"],
        ),
        (
            {"momentum": 0.9}, {"optimizer": ["adamw", "lamb"]},
            [f"momentum: needs optimizer sgd, rmsprop or muon, but found adamw or lamb, {EFFECT}"],
        ),
        (
            {"optimizer": "sgd", "momentum": 0, "nesterov": True}, {},
            [f"nesterov: needs momentum above 0, but found 0, {EFFECT}"],
        ),
        (
            {"optimizer": "rprop"}, {"warmup": [0, 0.1]},
            [f"warmup: needs optimizer other than rprop, but found rprop, {EFFECT}"],
        ),
        ({"data": "images/", "loader_workers": 4, "resident": "host"}, {}, []),
        ({"data": "module:data", "loader_workers": 4, "resident": "host"}, {}, []),
        ({"resident": "host"}, {}, []),
        ({"loader_workers": 4}, {}, [
            f"loader_workers: needs data in files of one image each or by import path, "
            f"but found digits, {EFFECT}"]),
        ({"data": "rows.npz", "loader_workers": 4}, {}, [
            f"loader_workers: needs data in files of one image each or by import path, "
            f"but found rows.npz, {EFFECT}"]),
        ({"label": "y"}, {}, [f"label: needs data from files, but found digits, {EFFECT}"]),
        (
            {"data": "iris", "cat_encoder": "onehot"}, {},
            [f"cat_encoder: needs data with categories, but found none in iris, {EFFECT}"],
        ),
        ({"synthetic_rows": 99}, {}, [
            f"synthetic_rows: needs data that is generated, but found digits, {EFFECT}"]),
        (
            {"model": "timm:resnet18"}, {"width": [8, 16]},
            [f"width: needs model mlp, cnn or transformer, but found timm:resnet18, {EFFECT}"],
        ),
        ({"freeze": ["body.*"]}, {}, [f"freeze: needs pretrained given, but found unset, {EFFECT}"]),
        ({}, {"zero_init_residual": [False, True]}, [
            f"zero_init_residual: needs residual on, but found off, {EFFECT}"]),
        ({"stochastic_depth": 0.1, "residual": "off"}, {}, [
            f"stochastic_depth: needs residual on, but found off, {EFFECT}"]),
        ({"sync_bn": True, "norm": "batch"}, {}, [f"sync_bn: needs ranks above 1, but found 1, {EFFECT}"]),
        ({"data": "iris", "model": "cnn"}, {}, [
            "model: cnn needs task image or sequence, but found tabular"]),
        (
            {}, {"data": ["digits", "iris"], "model": ["mlp", "cnn"]},
            ["model: cnn needs task image or sequence, but found tabular with data=iris"],
        ),
        ({"data": "wine", "task": "image"}, {}, [
            "task: image needs data digits, synthetic_images or files, but found wine"]),
        ({"data": "wine", "target": "regression"}, {}, [
            "target: must be classification or reconstruction with data wine, but found regression"]),
        ({"data": "a.txt", "target": "regression"}, {}, [
            "target: must be classification or tokens with a task sequence, but found regression"]),
        (
            {"data": "diabetes"}, {"label_smoothing": [0, 0.2]},
            [f"label_smoothing: needs target classification or tokens, but found regression, {EFFECT}"],
        ),
        ({"data": "diabetes", "loss": "mape"}, {}, ["loss: mape needs target_norm none, but found standard"]),
        ({"output_range": [0, 1]}, {}, [
            f"output_range: needs target regression, but found classification, {EFFECT}"]),
        ({"data": "diabetes", "output_range": [1, 0]}, {}, [
            "output_range: must be two numbers, the lower one first, but found [1, 0]"]),
        ({"data": "iris", "model": "timm:resnet18"}, {}, [
            "model: timm:resnet18 needs task image, but found tabular"]),
        ({"model": "timm:resnet18", "target": "reconstruction"}, {}, [
            "model: timm:resnet18 needs target classification or regression, but found reconstruction"]),
        ({"tie_weights": True}, {}, [
            f"tie_weights: needs target tokens or reconstruction, but found classification, {EFFECT}"]),
        ({"folds": 1}, {}, ["folds: must be 0 or at least 2, but found 1"]),
        ({"folds": 5}, {"fold": [0, 5]}, ["fold: must be below folds, but found fold=5, folds=5"]),
        ({"norm": "batch", "batch_size": 1}, {}, [
            "batch_size: norm batch needs two rows in each part on each rank, "
            "but found batch_size=1, ranks=1, grad_accum=1"]),
        ({"metrics": ["val_auroc", "val_rmse"]}, {}, [
            "metrics: must be among train_loss, val_loss, val_accuracy, val_balanced_accuracy, val_f1, "
            "val_top5_accuracy, val_auroc, val_average_precision, val_log_loss, val_calibration_error, "
            "but found val_rmse"]),
        ({"preset": "rsb-a1", "data": "iris"}, {}, ["preset: rsb-a1 needs task image, but found tabular"]),
        ({"preset": "transfer"}, {}, ["preset: transfer needs pretrained given, but found unset"]),
        ({"lr": 1e-3}, {"lr": [1e-3, 1]}, ["lr: must be fixed or swept, not both"]),
        ({"lr": "auto"}, {"lr": [1e-3, 1]}, ["lr: must be fixed or swept, not both"]),
        ({}, {"batch_size": [32, "auto"]}, ["batch_size: auto must be fixed, not swept"]),
        (
            {"learning_rate": 0.1, "batchsize": 3}, {},
            [
                "learning_rate: is not an option of the built-in trainer; did you mean lr or min_lr_ratio?",
                "batchsize: is not an option of the built-in trainer; "
                "did you mean batch_size or batch_scope?",
            ],
        ),
        ({"epochs": True}, {}, ["epochs: must be an integer from 1 to 1000000, but found true"]),
        ({"lr": "1e-4"}, {}, ['lr: must be a number from 1e-8 to 100 or auto, but found "1e-4"']),
        ({}, {"dropout": [0, 1.5]}, ["dropout: must be a number from 0 to 0.95, but found 1.5"]),
        ({"lr": float("nan")}, {}, ["lr: must be a number from 1e-8 to 100 or auto, but found nan"]),
        ({"hidden": [64, 0]}, {}, ["hidden: must be a list of integers from 1 to 65536, but found 0"]),
        ({"norm": "instance"}, {}, [
            'norm: must be one of none, batch, layer, group, rms, but found "instance"']),
        ({"data": "digitz"}, {}, [
            "data: must be one of digits, breast_cancer, diabetes, wine, iris, synthetic_images, "
            "synthetic_table, synthetic_curve, markov, brackets or a path, an s3:// prefix or "
            'module:attribute, but found "digitz"']),
        (
            {"val_fraction": 0.6, "test_fraction": 0.5}, {},
            [
                "val_fraction: together with test_fraction must leave 5 % of the rows for training, "
                "but found 0.6 and 0.5"
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_words_that_name_the_option(
    fixed: dict[str, object], swept: dict[str, list[object]], expected: list[str]
) -> None:
    assert expected == check(fixed, swept)


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
        ({"data": "a.csv", "features": ["x"], "categorical": ["x", "k"]}, [
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


def test_all_problems_are_told_at_once() -> None:
    assert 3 == len(check({"lr": -1, "momentum": 0.5, "colour": 1}, {}))


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


def test_values_that_never_stand_together_do_not_contradict_each_other() -> None:
    both = [{"loss": "mse", "target_norm": "standard"}, {"loss": "mape", "target_norm": "none"}]
    swept = {"loss": ["mse", "mape"], "target_norm": ["standard", "none"]}

    def together(names: Any) -> Iterator[Mapping[str, Any]]:
        yield from ({name: value for name, value in one.items() if name in names} for one in both)

    assert ["loss: mape needs target_norm none, but found standard with target_norm=standard"] == check(
        {"data": "diabetes"}, swept
    )
    assert [] == check({"data": "diabetes"}, swept, together=together)


def test_a_parameter_that_may_be_anything_hides_no_other_problem() -> None:
    swept = {"optimizer": [], "lr": [1e-3, 1e-1]}

    assert [] == check({"momentum": 0.9, "beta1": 0.8}, swept)
    assert 1 == len(check({"momentum": 0.9, "kernel": 5}, swept))


def test_a_huge_sweep_is_checked_at_once_and_refuses_nothing_that_can_be() -> None:
    swept = {name: option.values for name, option in OPTIONS.items() if option.kind == "choice"}
    fits = (
        "optimizer",
        "activation",
        "init",
        "schedule",
        "norm",
        "norm_position",
        "residual",
        "sampling",
        "loss",
    )
    chosen = {name: swept[name] for name in fits} | {"loss": ("cross_entropy", "bce", "hinge", "focal")}

    assert [] == check(
        {"batch_size": 8}, {**chosen, "momentum": [0, 0.9], "beta1": [0.8, 0.9], "depth": [2, 9]}
    )


# -- one configuration


def test_a_configuration_that_cannot_run_is_refused_when_resolved() -> None:
    with pytest.raises(ValueError, match=r"lr: .*|colour: .*"):
        resolve({"lr": -1, "colour": 1})
    with pytest.raises(ValueError, match="cnn needs task image"):
        resolve({"data": "iris"}, {"model": "cnn"})
    with pytest.raises(ValueError, match="momentum: needs optimizer sgd, rmsprop or muon, but found adamw"):
        resolve({"optimizer": "adamw", "momentum": 0.9})


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


def test_what_another_trial_of_the_sweep_may_use_is_left_out_here() -> None:
    known = {"task": "tabular", "target": "regression", "categories": "none", "gaps": "none"}

    assert "huber_delta" not in resolve({"huber_delta": 0.5, "data": "a.csv"}, {"loss": "mae"}, known=known)
    assert "huber_delta" not in resolve({"data": "a.csv"}, {"loss": "mae", "huber_delta": 0.5}, known=known)
    assert "cat_encoder" not in resolve({"cat_encoder": "onehot"}, {"data": "b.csv"}, known=known)


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


def test_a_run_accepts_what_a_sweep_of_one_trial_accepts() -> None:
    random = Random(1)
    refused = 0
    for _ in range(3000):
        names = random.sample([*OPTIONS], random.randint(1, 4))
        given = {"data": random.choice([*DATASETS, "a.csv", "a.npz", "photos/"])}
        given |= {name: random.choice(some(OPTIONS[name])) for name in names}
        # another place may have more ranks
        found = [problem for problem in check(given, {}) if "needs ranks above 1" not in problem]
        try:
            resolve(given)
        except ValueError:
            assert found, given
            refused += 1
        else:
            assert not found, (given, found)

    assert 1000 < refused < 2900


def some(option: Option) -> list[Any]:
    """Values of an option's domain."""
    ends = [end for end in (option.low, option.high) if end is not None and option.numeric]
    values = [*option.first_sweep, *option.values, *ends, *(value for _, value in option.defaults)]
    return [option.default, *values, *([False, True] if option.kind == "bool" else [])]


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


def test_a_name_in_other_words_finds_its_option() -> None:
    assert [["lr", "min_lr_ratio"], ["dropout", "dropconnect"]] == [near("learning_rate"), near("dropuot")]
    assert [["lr"], ["hidden", "depth"], ["patience"]] == [near("LR"), near("layers"), near("early_stopping")]
    assert set(ELSEWHERE.values()) < OPTIONS.keys()
    assert not ELSEWHERE.keys() & OPTIONS.keys()


# -- presets

RSB = {  # arXiv 2110.00476, table 2
    "rsb-a1": {
        "epochs": 600, "lr": 5e-3, "weight_decay": 0.01, "label_smoothing": 0.1, "stochastic_depth": 0.05,
        "repeated_augmentation": 3, "rand_augment_m": 7.0, "mixup_alpha": 0.2, "image_size": 224},
    "rsb-a2": {
        "epochs": 300, "lr": 5e-3, "weight_decay": 0.02, "label_smoothing": 0.0, "stochastic_depth": 0.05,
        "repeated_augmentation": 3, "rand_augment_m": 7.0, "mixup_alpha": 0.1, "image_size": 224},
    "rsb-a3": {
        "epochs": 100, "lr": 8e-3, "weight_decay": 0.02, "label_smoothing": 0.0, "stochastic_depth": 0.0,
        "repeated_augmentation": 1, "rand_augment_m": 6.0, "mixup_alpha": 0.1, "image_size": 160,
        "test_size": 224},
}  # fmt: skip
SHARED = {
    "optimizer": "lamb", "batch_size": 2048, "loss": "bce", "schedule": "cosine", "cutmix_alpha": 1.0,
    "rand_augment_std": 0.5, "test_crop": 0.95, "flip": 0.5, "random_resized_crop": 0.08,
    "model": "timm:resnet50",
}  # fmt: skip


@pytest.mark.parametrize("name", RSB)
def test_a_published_recipe_expands_to_its_table(name: str) -> None:
    resolved = resolve({"preset": name})

    assert RSB[name] | SHARED == {key: resolved[key] for key in RSB[name] | SHARED}
    assert 5 == pytest.approx(resolved["warmup"] * resolved["epochs"])


@pytest.mark.parametrize("name", PRESETS)
def test_every_key_of_a_preset_can_be_set_to_something_else(name: str) -> None:
    home = {
        "transfer": {"pretrained": "model/"},
        "mlp-table": {"data": "iris"},
        "transformer-text": {"data": "markov"},
    }
    fixed = {"preset": name, **home.get(name, {})}
    plain = resolve(fixed)

    assert dict(PRESETS[name]) == {key: plain[key] for key in PRESETS[name]}
    for key, value in PRESETS[name].items():
        option = OPTIONS[key]
        others = (option.default, *option.first_sweep, *(value for _, value in option.defaults))
        other = next(other for other in others if other != value)
        if other != "auto" and not check({**fixed, key: other}, {}):
            assert other == resolve({**fixed, key: other})[key]


def test_presets_train_for_as_long_as_their_kind_of_task_wants() -> None:
    assert 20 <= resolve({"preset": "scratch"})["epochs"] <= 40
    assert 3 <= resolve({"preset": "transfer", "pretrained": "model/"})["epochs"] <= 6


def test_a_preset_gives_way_where_its_value_cannot_be() -> None:
    assert (
        "mse"
        == resolve({"preset": "rsb-a3", "data": "photos.npz", "task": "image", "target": "regression"})[
            "loss"
        ]
    )


def test_the_table_is_read_without_torch_numpy_or_pydantic() -> None:
    code = "import sys, hypersweep_trainer.options; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert not {"torch", "numpy", "pydantic", "boto3", "sklearn"} & set(modules.split())
