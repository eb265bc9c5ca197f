"""The table of options: what it says holds, and what is wrong is refused in words that help."""

import subprocess
import sys
from dataclasses import fields

import pytest

from hypersweep_trainer.option import TASKS, Above
from hypersweep_trainer.options import DATASETS, GATES, METRICS, OPTIONS, Options, check, metrics, resolve

HORIZONS = ("step", "epoch", "evaluation", "stop", "speed")


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_complete_and_its_own_values_lie_in_its_domain(name: str) -> None:
    option = OPTIONS[name]
    sweep = option.first_sweep

    assert name == option.name
    assert option.meaning.endswith(".")
    assert option.horizon in HORIZONS
    assert option.impact in ("", "High", "Medium", "Low")
    assert set(option.tasks) <= set(TASKS)
    assert set(option.value_needs) <= set(option.values)
    for value in (option.default, *(value for _, value in option.defaults), *sweep):
        assert value == option.accept(value)
    if option.kind in ("int", "float"):
        assert sweep == tuple(sorted(sweep))
        assert not option.log or sweep[0] > 0


def test_options_need_only_what_the_table_declares_before_them() -> None:
    names = list(OPTIONS)
    for option in OPTIONS.values():
        for needs in (
            option.conditions,
            *option.value_needs.values(),
            *(needs for needs, _ in option.defaults),
        ):
            for gate, allowed in needs.items():
                if gate in OPTIONS and gate != "task":
                    assert names.index(gate) < names.index(option.name)
                    assert isinstance(allowed, Above) or [OPTIONS[gate].accept(value) for value in allowed]

    assert set(OPTIONS) | {"target"} >= GATES


def test_the_typed_configuration_and_the_table_hold_the_same_defaults() -> None:
    assert {entry.name: entry.default for entry in fields(Options)} == {
        name: option.default for name, option in OPTIONS.items()
    }


@pytest.mark.parametrize("data", DATASETS)
def test_every_data_set_resolves_and_reports_the_metrics_of_its_target(data: str) -> None:
    assert DATASETS[data].tasks[0] == resolve({"data": data})["task"]
    assert METRICS[DATASETS[data].target] == metrics({"data": data})


def test_a_resolved_configuration_leaves_out_what_has_no_effect() -> None:
    resolved = resolve({"epochs": 3, "beta1": 0.8}, {"optimizer": "sgd", "lr": 1})

    assert {"epochs": 3, "optimizer": "sgd", "lr": 1.0, "momentum": 0.9} == {
        name: resolved[name] for name in ("epochs", "optimizer", "lr", "momentum")
    }
    assert not {"beta1", "beta2", "eps"} & set(resolved)


def test_defaults_follow_the_choices_that_they_depend_on() -> None:
    assert 0.1 == resolve({"optimizer": "sgd"})["lr"]
    assert 16 == resolve({"model": "cnn"})["width"]


@pytest.mark.parametrize(
    ("fixed", "swept", "expected"),
    [
        ({}, {"lr": [1e-4, 0.1], "dropout": [0, 0.5]}, []),
        ({}, {"optimizer": ["sgd", "adamw"], "momentum": [0.5, 0.9]}, []),
        ({"optimizer": "sgd"}, {"momentum": [0, 0.9], "nesterov": [True]}, []),
        ({}, {"hidden": [[], [64, 32]], "width": [16, 64]}, []),
        ({}, {"data": ["digits", "iris"], "model": ["mlp", "cnn"]}, []),
        (
            {"optimizer": "adamw", "momentum": 0.9},
            {},
            ["momentum: needs optimizer sgd, but optimizer is adamw, so it would have no effect"],
        ),
        (
            {"optimizer": "sgd", "momentum": 0, "nesterov": True},
            {},
            ["nesterov: needs momentum above 0, but momentum is 0, so it would have no effect"],
        ),
        ({"data": "iris", "model": "cnn"}, {}, ["model: cnn needs task image, but task is tabular"]),
        ({"data": "wine", "task": "image"}, {}, ["task: image needs data digits, but data is wine"]),
        (
            {"data": "diabetes"},
            {"label_smoothing": [0, 0.2]},
            [
                "label_smoothing: needs target classification, but target is regression, "
                "so it would have no effect"
            ],
        ),
        ({"lr": 1e-3}, {"lr": [1e-3, 1]}, ["lr: must be fixed or swept, not both"]),
        (
            {"learning_rate": 0.1, "batchsize": 3},
            {},
            [
                "learning_rate: is not an option of the built-in trainer; did you mean lr or min_lr_ratio?",
                "batchsize: is not an option of the built-in trainer; did you mean batch_size?",
            ],
        ),
        ({"epochs": True}, {}, ["epochs: must be an integer from 1 to 100000, but got True"]),
        ({"lr": "1e-4"}, {}, ["lr: must be a number from 1e-08 to 10, but got '1e-4'"]),
        ({}, {"dropout": [0, 1.5]}, ["dropout: must be a number from 0 to 0.95, but got 1.5"]),
        ({"lr": float("nan")}, {}, ["lr: must be a number from 1e-08 to 10, but got nan"]),
        ({"hidden": [64, 0]}, {}, ["hidden: must be a list of integers from 1 to 8192, but got 0"]),
        ({"optimizer": "lamb"}, {}, ["optimizer: must be one of sgd, adamw, but got 'lamb'"]),
        (
            {"val_fraction": 0.6, "test_fraction": 0.5},
            {},
            [
                "val_fraction: together with test_fraction must leave 5 % of the rows for training, "
                "but they are 0.6 and 0.5"
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


def test_a_configuration_that_cannot_run_is_refused_when_resolved() -> None:
    with pytest.raises(ValueError, match=r"colour: .*lr: "):
        resolve({"lr": -1, "colour": 1})
    with pytest.raises(ValueError, match="cnn needs task image"):
        resolve({"data": "iris"}, {"model": "cnn"})


def test_the_table_is_read_without_torch_numpy_or_pydantic() -> None:
    code = "import sys, hypersweep_trainer.options; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert not {"torch", "numpy", "pydantic", "boto3", "sklearn"} & set(modules.split())
