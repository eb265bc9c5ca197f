"""What a sweep asks of the built-in trainer: which values stand together, and what is refused of them."""

from typing import Any

import pytest

from hypersweep import combination
from hypersweep.api import problems
from hypersweep.space import Case, Choice, Int, Parameter, Space
from tests.wrong import Wrong

LOSSES = "{name: loss, choice: [mse, mape]}"
REGRESSION = "objectives: [{metric: val_rmse, goal: minimize}]\ntrainer: {data: diabetes}\n"


def told(sections: str) -> list[str]:
    return problems(Wrong("", sections, ()).manifest)


def a_space() -> Space:
    sgd = Case(Int(1, 9), when={"optimizer": ("sgd",)})
    adam = Case(Choice((7,)), when={"optimizer": ("adam",)})
    deep = Case(Choice((0.1, 0.2)), when={"depth": (3,)})
    return Space(
        (
            Parameter("depth", (Case(Int(1, 5)),)),
            Parameter("drop", (deep,)),
            Parameter("optimizer", (Case(Choice(("sgd", "adam", "lion"))),)),
            Parameter("size", (sgd, adam)),
        )
    )


def test_combinations_leave_out_what_is_inactive_and_keep_what_others_depend_on() -> None:
    columns, together = combination.searched(a_space())

    assert {"depth": [1, 5, 3], "drop": [0.1, 0.2], "size": [1, 9, 7]} == {
        name: columns[name] for name in ("depth", "drop", "size")
    }
    assert [{}, {"drop": 0.1}, {"drop": 0.2}] == list(together({"drop"}))
    assert [("sgd", 1), ("sgd", 9), ("adam", 7), ("lion", None)] == [
        (one["optimizer"], one.get("size")) for one in together({"optimizer", "size"})
    ]
    assert [{}] == list(together(()))


def test_combinations_of_a_list_are_its_entries() -> None:
    entries: list[dict[str, Any]] = [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 4}]
    columns, together = combination.listed(entries)

    assert {"a": [1, 1, 4], "b": [2, 3]} == columns
    assert [{"a": 1}, {"a": 4}] == list(together({"a"}))
    assert entries == list(together({"a", "b"}))


def test_values_that_cannot_stand_together_are_refused_unless_cases_keep_them_apart() -> None:
    norms = "{name: target_norm, choice: [standard, none]}"
    apart = "{name: target_norm, cases: [{when: {loss: [mse]}, choice: [standard, none]}, \
        {when: {loss: [mape]}, choice: [none]}]}"

    assert [
        "spec.parameters[0]: loss mape needs target_norm none, but found standard with target_norm=standard"
    ] == told(f"{REGRESSION}parameters: [{LOSSES}, {norms}]")
    assert [] == told(f"{REGRESSION}parameters: [{LOSSES}, {apart}]")


def test_a_branch_in_which_a_parameter_is_left_out_has_its_default() -> None:
    only = "{name: target_norm, cases: [{when: {loss: [mse]}, choice: [none]}]}"

    assert ["spec.parameters[0]: loss mape needs target_norm none, but found standard"] == told(
        f"{REGRESSION}parameters: [{LOSSES}, {only}]"
    )


def test_a_list_is_checked_entry_by_entry() -> None:
    good = "[{loss: mse, target_norm: standard}, {loss: mape, target_norm: none}]"
    bad = "[{loss: mse, target_norm: none}, {loss: mape, target_norm: standard}]"
    declared = f"parameters: [{LOSSES}, {{name: target_norm, choice: [standard, none]}}]"

    assert [] == told(f"{REGRESSION}parameters: null\nstrategy: {{list: {good}}}")
    assert [] == told(f"{REGRESSION}{declared}\nstrategy: {{list: {good}}}")
    assert [
        "spec.strategy.list: loss: mape needs target_norm none, but found standard with target_norm=standard"
    ] == (told(f"{REGRESSION}parameters: null\nstrategy: {{list: {bad}}}"))


def test_an_option_needs_an_effect_in_one_branch_only() -> None:
    some = "parameters: [{name: optimizer, choice: [sgd, adamw]}]\ntrainer: {momentum: 0.5, beta1: 0.8}"
    none = "parameters: [{name: optimizer, choice: [lion, adamw]}]\ntrainer: {momentum: 0.5}"

    assert [] == told(some)
    assert [
        "spec.trainer.momentum: needs optimizer sgd, rmsprop or muon, but found lion or adamw, "
        "so it would have no effect"
    ] == told(none)


def test_what_needs_several_ranks_is_asked_of_nodes_and_devices() -> None:
    trainer = "trainer: {norm: batch, sync_bn: true}\n"
    alone = "spec.trainer.sync_bn: needs ranks above 1, but found 1, so it would have no effect"

    assert [alone] == told(trainer)
    assert [] == told(f"{trainer}trial: {{nodes: 2}}")
    assert [] == told(f"{trainer}trial: {{ranks: 2}}")
    assert [] == told(f"{trainer}trial: {{resources: {{limits: {{nvidia.com/gpu: 2}}}}}}")
    assert [alone] == told(f"{trainer}trial: {{ranks: 2, resources: {{limits: {{nvidia.com/gpu: 1}}}}}}")


def test_a_trial_that_cannot_be_read_says_nothing_of_its_ranks() -> None:
    assert ["spec.trial.nodes: must be at least 1, but found 0"] == told(
        "trainer: {norm: batch, sync_bn: true}\ntrial: {nodes: 0}"
    )


def test_what_only_files_know_is_left_to_them() -> None:
    files = "trainer: {data: 's3://bucket/rows.csv', missing: mean}\n"

    assert [] == told(f"{files}parameters: [{{name: cat_encoder, choice: [onehot, embedding]}}]")
    assert ["spec.trainer.missing: needs task tabular, but found image, so it would have no effect"] == told(
        "trainer: {missing: mean}"
    )


def test_an_objective_must_be_a_metric_of_every_data_set_that_is_swept() -> None:
    both = "parameters: [{name: data, choice: [digits, diabetes]}]\ntrainer: {}\n"

    assert [] == told(f"{both}objectives: [{{metric: val_loss, goal: minimize}}]")
    assert [
        'spec.objectives[0].metric: must be one of train_loss, val_loss, but found "val_accuracy"'
    ] == told(both)


@pytest.mark.parametrize("metric", ["val_auroc", "val_calibration_error", "val_accuracy"])
def test_an_objective_may_be_a_metric_that_is_computed_on_request(metric: str) -> None:
    assert [] == told(f"objectives: [{{metric: {metric}, goal: maximize}}]")


def test_a_parameter_that_cannot_be_read_may_be_anything() -> None:
    broken = "parameters: [{name: optimizer, choice: []}, {name: label, float: {min: 2, max: 1}}]"

    found = told(f"{broken}\ntrainer: {{momentum: 0.5, data: rows.csv}}")

    assert ["spec.parameters[0].choice", "spec.parameters[1].float"] == [
        one.partition(":")[0] for one in found
    ]


def test_auto_is_found_by_each_configuration_and_never_swept() -> None:
    swept = "parameters: [{name: lr, float: {min: 1e-4, max: 1e-1, scale: log}}]\n"

    assert ["spec.parameters[0]: lr must be fixed or swept, not both"] == told(
        f"{swept}trainer: {{lr: auto}}"
    )
    assert ["spec.parameters[0]: batch_size auto must be fixed, not swept"] == told(
        "parameters: [{name: batch_size, choice: [32, auto]}]"
    )
    assert [] == told("parameters: [{name: depth, choice: [1, 2]}]\ntrainer: {lr: auto, batch_size: auto}")
