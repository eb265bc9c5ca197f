"""The environment of an attempt: what its processes are told."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersweep import contract
from hypersweep.api import SweepSpec
from hypersweep.job import environment, expand
from hypersweep.runner import Order
from tests.rendering import STORE, UID, a_spec, an_order, with_container


def the_environment(
    spec: SweepSpec | None = None, order: Order | None = None, **place: Any
) -> dict[str, str]:
    return environment(spec or a_spec(), "digits", UID, order or an_order(), **place)


def test_an_attempt_knows_who_it_is() -> None:
    env = the_environment()

    assert {
        "HYPERSWEEP_SWEEP": "digits",
        "HYPERSWEEP_TRIAL": "7",
        "HYPERSWEEP_ATTEMPT": "1",
        "HYPERSWEEP_SEED": "11",
        "HYPERSWEEP_REPLICATE": "0",
    }.items() <= env.items()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0001, "0.0001"),
        (1e-05, "1e-05"),
        (3, "3"),
        (True, "true"),
        ("adamw", "adamw"),
        ("$(HOME) costs $5", "$(HOME) costs $5"),
        ((0.9, 0.99), "[0.9, 0.99]"),
        (("a", (1, False)), '["a", [1, false]]'),
    ],
)
def test_a_parameter_has_a_variable_of_its_own(value: Any, text: str) -> None:
    env = the_environment(order=an_order(parameters={"augment.rand-n": value}))

    assert env["HYPERSWEEP_PARAM_AUGMENT_RAND_N"] == text


def test_all_parameters_stand_in_one_object_by_name() -> None:
    env = the_environment(order=an_order(parameters={"lr": 0.1, "betas": (0.9, 0.99), "amsgrad": True}))

    assert env["HYPERSWEEP_PARAMETERS"] == '{"amsgrad": true, "betas": [0.9, 0.99], "lr": 0.1}'


def test_what_a_stage_does_not_set_is_absent() -> None:
    absent = {"HYPERSWEEP_EPOCHS", "HYPERSWEEP_DATA_FRACTION", "HYPERSWEEP_FINAL", "HYPERSWEEP_STORE"}

    assert absent & the_environment().keys() == set()


def test_what_a_stage_sets_is_there() -> None:
    env = the_environment(order=an_order(epochs=5, fraction=0.2, final=True))

    assert (env["HYPERSWEEP_EPOCHS"], env["HYPERSWEEP_DATA_FRACTION"], env["HYPERSWEEP_FINAL"]) == (
        "5",
        "0.2",
        "1",
    )


def test_an_attempt_writes_below_its_own_prefix_only() -> None:
    env = the_environment(store_url=STORE, endpoint="http://minio:9000", region="eu-central-1")

    assert env["HYPERSWEEP_STORE"] == f"{STORE}/trials/00007/attempts/1"
    assert env["HYPERSWEEP_STORE_ENDPOINT"] == "http://minio:9000"
    assert env["HYPERSWEEP_STORE_REGION"] == "eu-central-1"


def test_the_objectives_say_what_is_asked() -> None:
    env = the_environment(a_spec(objectives=[{"metric": "acc", "goal": "maximize", "at": "mean:3"}]))

    assert json.loads(env["HYPERSWEEP_OBJECTIVES"]) == [{"metric": "acc", "goal": "maximize", "at": "mean:3"}]


def test_the_built_in_trainer_gets_its_fixed_options() -> None:
    env = the_environment(a_spec(trainer={"data": "digits", "epochs": 20}))

    assert json.loads(env["HYPERSWEEP_TRAINER"]) == {"data": "digits", "epochs": 20}


def test_a_container_with_a_command_of_its_own_gets_none() -> None:
    env = the_environment(a_spec(trial=with_container(command=["./train"])))

    assert "HYPERSWEEP_TRAINER" not in env


@pytest.mark.parametrize("attempt", [0, 1])
def test_the_first_trial_alone_runs_all_checks(attempt: int) -> None:
    asked = [the_environment(order=an_order(trial, attempt)).get("HYPERSWEEP_CHECKS") for trial in (0, 1)]

    assert asked == ["all", None]


def test_nobody_checks_what_is_not_to_be_checked() -> None:
    own = a_spec(trial=with_container(command=["./train"]))

    for spec in (own, a_spec(trainer={"checks": "off"})):
        assert "HYPERSWEEP_CHECKS" not in the_environment(spec, an_order(0))


def test_a_replicate_is_given_what_the_first_one_found() -> None:
    env = the_environment(order=an_order(resolved={"lr": 0.01, "batch_size": 64}))

    assert json.loads(env["HYPERSWEEP_RESOLVED"]) == {"lr": 0.01, "batch_size": 64}
    assert "HYPERSWEEP_RESOLVED" not in the_environment()


def test_a_model_to_start_from_is_named_with_the_way_to_it() -> None:
    order = replace(an_order(), pretrained="s3://sweeps/ns/base-1/trials/00003/attempts/0/model")
    env = the_environment(order=order, endpoint="http://minio:9000", region="eu-central-1")

    assert env["HYPERSWEEP_PRETRAINED"] == order.pretrained
    assert (env["HYPERSWEEP_STORE_ENDPOINT"], env["HYPERSWEEP_STORE_REGION"]) == (
        "http://minio:9000",
        "eu-central-1",
    )
    assert "HYPERSWEEP_STORE" not in env


@pytest.mark.parametrize(
    ("trial", "ranks"),
    [
        ({}, "1"),
        ({"ranks": 3}, "3"),
        ({"resources": {"limits": {"nvidia.com/gpu": 4, "cpu": 8}}}, "4"),
        ({"resources": {"limits": {"nvidia.com/gpu": "2"}}, "ranks": 3}, "2"),
        (with_container(command=["./train"], resources={"limits": {"nvidia.com/mig-1g.10gb": 2}}), "2"),
    ],
)
def test_a_node_runs_a_rank_per_gpu(trial: dict[str, Any], ranks: str) -> None:
    assert the_environment(a_spec(trial=trial))["PET_NPROC_PER_NODE"] == ranks


def test_every_attempt_of_a_trial_meets_at_the_same_port() -> None:
    ports = [
        the_environment(order=an_order(trial, attempt))["PET_MASTER_PORT"]
        for trial, attempt in ((7, 1), (7, 2))
    ]

    assert ports == [str(contract.port(UID, 7))] * 2


@given(st.text(max_size=30), st.dictionaries(st.text("AB", min_size=1), st.text(max_size=5), max_size=2))
def test_doubled_dollars_come_out_of_an_expansion_as_they_were(text: str, env: dict[str, str]) -> None:
    assert expand(text.replace("$", "$$"), env) == text


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("--lr=$(LR)", "--lr=0.1"),
        ("$$(LR)", "$(LR)"),
        ("$(NO)$", "$(NO)$"),
        ("$LR", "$LR"),
        ("$(LR)$(LR)", "0.10.1"),
        ("$(L", "$(L"),
    ],
)
def test_a_variable_expands_as_on_kubernetes(text: str, expanded: str) -> None:
    assert expand(text, {"LR": "0.1"}) == expanded
