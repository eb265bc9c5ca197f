"""What a stage compares: its arms around an incumbent, and where each arm is retuned."""

from typing import Any

import pytest

from hypersweep.searchspec import Stage
from hypersweep.space import Case, Choice, Domain, Float, Int, Parameter, Space
from hypersweep.strategy.stage import arms, coarse, coarse_points, fine

ADAMW = Case(Float(1e-5, 1e-1, "log"), 1e-3, {"optimizer": ("adamw", "lamb")})
SGD = Case(Float(1e-3, 1.0, "log"), 0.1, {"optimizer": ("sgd",)})
LR = Parameter("lr", (SGD, ADAMW))
OPTIMIZER = Parameter("optimizer", (Case(Choice(("sgd", "adamw", "lamb")), "adamw"),))
SPACE = Space((Parameter("depth", (Case(Int(1, 5), 3),)), LR, OPTIMIZER))
INCUMBENT = {"depth": 2, "lr": 3e-4, "optimizer": "adamw"}


def a_stage(*parameters: str, **fields: Any) -> Stage:
    return Stage(parameters=parameters, **fields)


def values(domain: Domain, start: float, **fields: Any) -> list[object]:
    space = Space((Parameter("x", (Case(domain, start),)),))
    return [arm["x"] for arm in arms(space, a_stage("x", **fields), {"x": start}, "0")]


def test_everything_else_stays_where_the_incumbent_has_it() -> None:
    found = arms(SPACE, a_stage("depth"), INCUMBENT, "0")

    assert [{**INCUMBENT, "depth": depth} for depth in (1, 3, 4, 5)] == found


def test_another_branch_starts_afresh_and_a_branch_with_the_same_range_keeps_its_value() -> None:
    found = arms(SPACE, a_stage("optimizer"), INCUMBENT, "0")

    assert [
        {"depth": 2, "lr": 0.1, "optimizer": "sgd"},
        {"depth": 2, "lr": 3e-4, "optimizer": "lamb"},
    ] == found


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (Float(0, 1), [0, 0.25, 0.5, 0.75, 1]),
        (Float(1e-4, 1, "log"), [1e-4, 1e-3, 1e-2, 1e-1, 1]),
        (Float(0, 0.5, step=0.1), [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (Int(1, 7), [1, 2, 3, 4, 5, 6, 7]),
        (Int(0, 100), [0, 25, 50, 75, 100]),
    ],
)
def test_a_stage_without_a_search_takes_a_few_values_or_five_even_ones(
    domain: Domain, expected: list[float]
) -> None:
    found = values(domain, start=0.33)

    assert expected == pytest.approx(found)


def test_grid_search_takes_points_or_so_many_per_decade() -> None:
    assert [0, 0.5, 1] == values(Float(0, 1), 0.33, search={"grid": {"points": 3}})
    assert [0.01, 0.1, 1] == pytest.approx(
        values(Float(0.01, 1, "log"), 0.33, search={"grid": {"per_decade": 1}})
    )


def test_random_search_takes_eight_configurations_per_parameter_and_the_same_ones_again() -> None:
    stage = a_stage("depth", "lr", search={"random": {}})

    found = arms(SPACE, stage, INCUMBENT, "0")

    assert 16 == len(found)
    assert found == arms(SPACE, stage, INCUMBENT, "0")
    assert found != arms(SPACE, stage, INCUMBENT, "1")


def test_narrowing_searches_around_the_incumbent() -> None:
    found = values(Float(1e-4, 1, "log"), 1e-2, narrow=10)

    assert [10**-2.5, 10**-2.25, 10**-1.75, 10**-1.5] == pytest.approx(found)


def test_a_parameter_without_effect_beside_the_incumbent_has_no_arms() -> None:
    momentum = Parameter("momentum", (Case(Float(0, 1), 0.9, {"optimizer": ("sgd",)}),))
    space = Space((momentum, OPTIMIZER))

    assert [] == arms(space, a_stage("momentum"), {"optimizer": "adamw"}, "0")


# -- retuning


def test_retuning_gives_the_incumbents_own_values_an_arm_too() -> None:
    found = arms(SPACE, a_stage("optimizer", retune=("lr",)), INCUMBENT, "0")

    assert ["adamw", "sgd", "lamb"] == [arm["optimizer"] for arm in found]


def test_every_arm_is_looked_at_over_its_own_range_with_equal_effort() -> None:
    found = arms(SPACE, a_stage("optimizer", retune=("lr",)), INCUMBENT, "0")

    points = coarse_points(SPACE, ("lr",), found)

    adamw, sgd, lamb = ([point["lr"] for point in coarse(SPACE, arm, points, "0")] for arm in found)
    assert [1e-5, 1e-4, 1e-3, 1e-2, 1e-1] == pytest.approx(adamw)
    assert [10**power for power in (-3, -2.25, -1.5, -0.75, 0)] == pytest.approx(sgd)
    assert adamw == lamb


@pytest.mark.parametrize(
    ("domain", "count"),
    [
        (Float(1e-5, 1e-1, "log"), 5),
        (Float(0.1, 1, "log"), 3),
        (Float(0, 1), 4),
        (Int(1, 5), 5),
        (Choice(("relu", "gelu")), 2),
    ],
)
def test_the_first_look_takes_decades_or_four_points(domain: Domain, count: int) -> None:
    space = Space((Parameter("x", (Case(domain),)),))

    assert {"x": count} == coarse_points(space, ("x",), [space.start()])


def test_the_second_look_is_half_a_step_to_both_sides_of_the_best() -> None:
    around = [point["lr"] for point in fine(SPACE, {**INCUMBENT, "lr": 1e-3}, {"lr": 5})]
    at_the_end = [point["lr"] for point in fine(SPACE, {**INCUMBENT, "lr": 1e-1}, {"lr": 5})]

    assert [10**-3.5, 10**-2.5] == pytest.approx(around)
    assert [10**-1.5, 10**-1.25] == pytest.approx(at_the_end)


def test_the_second_look_skips_what_the_first_saw_completely() -> None:
    assert [] == fine(SPACE, INCUMBENT, {"depth": 5, "optimizer": 3})


def test_two_nuisance_parameters_are_combined_or_drawn_when_there_are_many() -> None:
    points = coarse_points(SPACE, ("depth", "lr"), [INCUMBENT])

    found = coarse(SPACE, INCUMBENT, points, "0")

    assert 16 == len({str(point) for point in found})
