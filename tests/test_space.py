"""Ranges and choices: their values, how they are drawn and narrowed, and which of them are active."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersweep.space import (
    Case,
    Choice,
    Domain,
    Float,
    Int,
    Parameter,
    Space,
    axis,
    contains,
    middle,
    narrow,
    quantise,
    same,
    sample,
    size,
)

LR = Float(1e-5, 1e-1, "log")
WIDTH = Int(8, 512, "log")
DROPOUT = Float(0.0, 0.5, step=0.1)


def a_parameter(name: str, domain: Domain, start: float | None = None) -> Parameter:
    return Parameter(name, (Case(domain, start),))


def an_optimizer_space() -> Space:
    lr = Parameter(
        "lr",
        (
            Case(Float(1e-3, 1.0, "log"), 0.1, {"optimizer": ("sgd",)}),
            Case(Float(1e-5, 1e-1, "log"), 1e-3, {"optimizer": ("adamw", "lamb")}),
        ),
    )
    momentum = Parameter("momentum", (Case(Float(0.0, 0.99), 0.9, {"optimizer": ("sgd",)}),))
    optimizer = Parameter("optimizer", (Case(Choice(("sgd", "adamw", "lamb")), "adamw"),))
    return Space((a_parameter("depth", Int(1, 5)), lr, momentum, optimizer))


@st.composite
def floats(draw: st.DrawFn) -> Float:
    scale = draw(st.sampled_from(("linear", "log")))
    low = draw(st.floats(1e-6, 1e3) if scale == "log" else st.floats(-1e3, 1e3))
    width = draw(st.floats(1e-3, 1e3))
    step = draw(st.none() | st.floats(width / 50, width)) if scale == "linear" else None
    return Float(low, low + width, scale, step)


@st.composite
def integers(draw: st.DrawFn) -> Int:
    scale = draw(st.sampled_from(("linear", "log")))
    low = draw(st.integers(1 if scale == "log" else -1000, 1000))
    high = low + draw(st.integers(1, 1000))
    step = draw(st.integers(1, high - low)) if scale == "linear" else 1
    return Int(low, high, scale, step)


domains = floats() | integers()


def test_a_log_axis_by_decade_reads_as_people_write_it() -> None:
    assert axis(LR, per_decade=1) == (1e-05, 0.0001, 0.001, 0.01, 0.1)


def test_a_linear_axis_is_even_and_holds_both_ends() -> None:
    assert axis(Float(0.0, 1.0), points=5) == (0.0, 0.25, 0.5, 0.75, 1.0)


def test_an_axis_of_a_stepped_range_needs_no_points() -> None:
    assert axis(DROPOUT) == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def test_points_on_few_integers_give_each_once() -> None:
    assert axis(Int(1, 3), points=7) == (1, 2, 3)


def test_points_on_a_log_integer_range_are_even_in_their_ratio() -> None:
    assert axis(WIDTH, points=4) == (8, 32, 128, 512)


def test_a_choice_always_gives_all_of_its_values_in_their_own_order() -> None:
    assert axis(Choice(("b", "a", "c")), points=2) == ("b", "a", "c")


def test_one_point_is_the_middle_on_the_scale() -> None:
    assert axis(LR, points=1) == (0.001,)


def test_the_end_of_a_range_that_is_no_whole_number_of_steps_is_no_value() -> None:
    assert axis(Int(0, 10, step=4)) == (0, 4, 8)


def test_a_continuous_range_has_no_number_of_values() -> None:
    assert size(LR) is None


@given(domains, st.integers(2, 40))
def test_an_axis_ascends_within_its_domain_and_holds_only_values_of_it(domain: Domain, points: int) -> None:
    values = axis(domain, points=points)

    assert list(values) == sorted(set(values))
    assert all(contains(domain, value) for value in values)
    assert len(values) <= points


@given(floats(), st.integers(2, 40))
def test_an_axis_of_a_continuous_range_reaches_both_ends(domain: Float, points: int) -> None:
    values = axis(Float(domain.min, domain.max, domain.scale), points=points)

    assert (domain.min, domain.max) == (values[0], values[-1])


@given(domains, st.integers(0, 2**32))
def test_a_draw_is_a_value_of_its_domain(domain: Domain, seed: int) -> None:
    assert contains(domain, sample(domain, Random(seed)))


def test_draws_on_a_log_scale_fall_into_each_decade_equally_often() -> None:
    rng = Random(0)
    decades = [math.floor(math.log10(float(str(sample(LR, rng))))) for _ in range(4000)]
    shares = [decades.count(decade) / len(decades) for decade in (-5, -4, -3, -2)]

    assert shares == pytest.approx([0.25] * 4, abs=0.03)


def test_draws_of_log_integers_reach_both_ends() -> None:
    drawn = {sample(Int(1, 4, "log"), Random(seed)) for seed in range(200)}

    assert drawn == {1, 2, 3, 4}


def test_narrowing_a_log_range_by_ten_leaves_one_decade_around_the_value() -> None:
    narrowed = narrow(LR, 1e-3, 10)

    assert isinstance(narrowed, Float)
    assert (narrowed.min, narrowed.max) == pytest.approx((1e-3 / 10**0.5, 1e-3 * 10**0.5))


def test_narrowing_at_the_end_of_a_range_is_clipped_there() -> None:
    assert narrow(Float(0.0, 1.0), 1.0, 5) == Float(0.9, 1.0)


def test_narrowing_keeps_the_steps_where_they_were() -> None:
    assert narrow(DROPOUT, 0.2, 2.5) == Float(0.1, 0.3, step=0.1)


def test_a_choice_cannot_be_narrowed() -> None:
    assert narrow(Choice((1, 2)), 1, 10) == Choice((1, 2))


@given(domains, st.integers(0, 2**32), st.floats(1.01, 100))
def test_what_a_range_is_narrowed_around_stays_inside(domain: Domain, seed: int, factor: float) -> None:
    value = sample(domain, Random(seed))
    narrowed = narrow(domain, value, factor)

    assert contains(narrowed, value)
    assert all(contains(domain, inner) for inner in axis(narrowed, points=5))


def test_a_value_between_two_steps_becomes_the_nearest() -> None:
    assert quantise(DROPOUT, 0.27) == 0.3


def test_a_value_beyond_a_range_becomes_its_end() -> None:
    assert quantise(Int(1, 5), 9) == 5


def test_true_is_not_one_but_a_whole_float_is() -> None:
    assert [same(True, 1), same(1.0, 1), same((1, True), (1.0, True))] == [False, True, True]


def test_the_middle_of_a_log_range_is_its_geometric_mean() -> None:
    assert middle(Float(1e-4, 1e-2, "log")) == 0.001


def test_conditions_come_before_what_they_condition() -> None:
    names = [parameter.name for parameter in an_optimizer_space().order]

    assert names == ["depth", "optimizer", "lr", "momentum"]


def test_the_start_takes_each_active_parameter_at_its_start_or_middle() -> None:
    assert an_optimizer_space().start() == {"depth": 3, "lr": 1e-3, "optimizer": "adamw"}


def test_resolving_drops_what_is_inactive_and_fills_what_is_missing() -> None:
    resolved = an_optimizer_space().resolve({"optimizer": "lamb", "lr": 0.01, "momentum": 0.5})

    assert resolved == {"depth": 3, "lr": 0.01, "optimizer": "lamb"}


def test_a_parameter_that_falls_into_another_case_starts_afresh_in_it() -> None:
    space = an_optimizer_space()
    base = space.resolve({"lr": 0.02, "depth": 5})

    assert space.change(base, {"optimizer": "sgd"}) == {
        "depth": 5,
        "lr": 0.1,
        "momentum": 0.9,
        "optimizer": "sgd",
    }


def test_a_parameter_that_stays_in_its_case_keeps_its_value() -> None:
    space = an_optimizer_space()
    base = space.resolve({"lr": 0.02})

    assert space.change(base, {"optimizer": "lamb"}) == {"depth": 3, "lr": 0.02, "optimizer": "lamb"}


def test_changes_count_also_where_the_case_changes() -> None:
    changed = an_optimizer_space().change({}, {"optimizer": "sgd", "lr": 0.5, "momentum": 0.0})

    assert changed == {"depth": 3, "lr": 0.5, "momentum": 0.0, "optimizer": "sgd"}
