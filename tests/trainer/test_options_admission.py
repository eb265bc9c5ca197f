"""What is wrong with a sweep is told before it starts, all at once, in words that name the option."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import pytest

from hypersweep_trainer.options import DATASETS, OPTIONS, check, near, resolve
from hypersweep_trainer.options.admission import ELSEWHERE
from hypersweep_trainer.options.option import Option
from tests.trainer.words import EFFECT


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
        ({"freeze": ["body.*"]}, {}, [
            f"freeze: needs weights of pretrained or pretrain, but found none, {EFFECT}"]),
        ({"freeze": ["body.*"], "pretrain": "masked"}, {}, []),
        ({"freeze": ["body.*"], "pretrain": "masked", "unfreeze_epoch": 2}, {}, []),
        ({"freeze": ["body.*"]}, {"pretrain": ["none", "masked"]}, []),
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
        ({"folds": 5, "fold": 5}, {}, ["fold: must be below folds, but found fold=5, folds=5"]),
        ({"folds": 5}, {"fold": [0, 4]}, [
            "fold: must not be swept: leave it out and set `seeds` to the number of folds"]),
        ({"optimizer": "rprop", "lr": "auto"}, {}, [
            "lr: auto needs optimizer other than rprop, but found rprop"]),
        ({"pretrained": "m/", "freeze": ["body.*"], "unfreeze_epoch": 1}, {}, [
            "unfreeze_epoch: must be 0 or at least 2, but found 1: nothing would ever be frozen"]),
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


def test_all_problems_are_told_at_once() -> None:
    assert 3 == len(check({"lr": -1, "momentum": 0.5, "colour": 1}, {}))


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


def test_a_name_in_other_words_finds_its_option() -> None:
    assert [["lr", "min_lr_ratio"], ["dropout", "dropconnect"]] == [near("learning_rate"), near("dropuot")]
    assert [["lr"], ["hidden", "depth"], ["patience"]] == [near("LR"), near("layers"), near("early_stopping")]
    assert set(ELSEWHERE.values()) < OPTIONS.keys()
    assert not ELSEWHERE.keys() & OPTIONS.keys()
