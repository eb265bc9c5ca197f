"""Hints: what experience says of a configuration, and nothing of the defaults."""

import json

import pytest

from hypersweep_trainer.check.advice import advice
from hypersweep_trainer.config import Config
from hypersweep_trainer.options import DATASETS
from tests.trainer.checking import a_config


def test_experience_says_what_may_be_better() -> None:
    poor = a_config(
        data="digits", depth=5, residual="off", norm="none", init="kaiming_normal", activation="tanh",
        weight_decay=0.0, schedule="exponential",
    )  # fmt: skip
    other = a_config(
        data="digits", init="xavier_normal", activation="relu", dropout=0.95, schedule="constant"
    )

    assert [
        "init: with activation tanh try xavier, kaiming_normal is made for rectifiers",
        "weight_decay: try some, or dropout, for nothing regularises",
        "norm: try batch for convolutions, layer elsewhere, most networks then learn faster",
        "residual: try on, networks of more than 3 layers then learn better",
        "schedule: rates fall exponentially and their sum is finite, "
        "where Robbins and Monro (1951) ask for the opposite",
    ] == advice(poor)["words"].split("; ")
    assert [
        "init: with activation relu try kaiming, xavier_normal is made for tanh",
        "dropout: try less, or a larger width beside it, 0.95 may underfit",
        "schedule: rates stay above a bound and the sum of their squares is infinite, "
        "where Robbins and Monro (1951) ask for the opposite",
    ] == advice(other)["words"].split("; ")
    assert ["hint", 5] == [advice(poor)["verdict"], advice(poor)["found"]]


@pytest.mark.parametrize(
    ("metric", "goal", "words"),
    [
        ("val_loss", "minimize", ""),
        ("val_r2", "maximize", ""),
        ("val_rmse", "maximize", "objectives: val_rmse is better when smaller, but the goal is maximize"),
        ("val_r2", "minimize", "objectives: val_r2 is better when larger, but the goal is minimize"),
    ],
)
def test_a_goal_in_the_wrong_direction_is_worth_a_hint(metric: str, goal: str, words: str) -> None:
    variables = {
        "HYPERSWEEP_TRAINER": json.dumps({"data": "diabetes"}),
        "HYPERSWEEP_OBJECTIVES": json.dumps([{"metric": metric, "goal": goal}]),
    }

    assert (words or "nothing to add") == advice(Config.read(variables))["words"]


@pytest.mark.parametrize("name", DATASETS)
def test_nothing_is_to_be_said_of_the_defaults(name: str) -> None:
    assert "ok" == advice(a_config(data=name))["verdict"]


def test_schedules_that_meet_robbins_and_monro_are_left_alone() -> None:
    inverse = a_config(data="digits", schedule="inverse", inverse_power=1.0)

    assert "ok" == advice(inverse)["verdict"]
    assert "Robbins" in advice(a_config(data="digits", schedule="inverse", inverse_power=0.4))["words"]


def test_statistics_of_other_images_than_the_network_learned_from_are_worth_a_hint() -> None:
    transferred = a_config(data="digits", model="cnn", pretrained="/models/one", image_norm="dataset")

    assert "image_norm: try pretrained" in advice(transferred)["words"]
