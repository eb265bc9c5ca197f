"""The tree of a conditional space, numbered by mixed radix, against listing every combination."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from hypersweep.space import Case, Choice, Int, Parameter, Space, Value, axis
from hypersweep.strategy.tree import Tree


def a_space(*parameters: Parameter) -> Space:
    return Space(tuple(sorted(parameters, key=lambda parameter: parameter.name)))


def a_choice(name: str, *values: Value, **when: tuple[Value, ...]) -> Parameter:
    return Parameter(name, (Case(Choice(values), when=when),))


def all_values(_: Parameter, case: Case) -> tuple[Value, ...]:
    return axis(case.domain)


def listed(space: Space) -> list[dict[str, Value]]:
    """Every combination of every value of every case, what is inactive dropped, what is double left out."""
    found: dict[str, dict[str, Value]] = {}
    choices = [
        [(parameter.name, case, value) for case in parameter.cases for value in axis(case.domain)]
        for parameter in space.order
    ]
    for combination in product(*choices):
        values: dict[str, Value] = {}
        for parameter, (name, case, value) in zip(space.order, combination, strict=True):
            active = parameter.case(values)
            if active is None:
                continue
            if active is not case:
                break
            values[name] = value
        else:
            found.setdefault(str(sorted(values.items())), dict(sorted(values.items())))
    return list(found.values())


def test_leaves_of_plain_parameters_come_in_the_order_of_a_product() -> None:
    space = a_space(a_choice("a", 1, 2), a_choice("b", "x", "y", "z"), Parameter("c", (Case(Int(0, 1)),)))

    leaves = list(Tree(space, all_values).leaves())

    assert [dict(zip("abc", row, strict=True)) for row in product((1, 2), "xyz", (0, 1))] == leaves


def test_branches_are_summed_and_inactive_parameters_make_no_duplicates() -> None:
    space = a_space(
        a_choice("optimizer", "adamw", "sgd"),
        a_choice("momentum", 0.0, 0.9, optimizer=("sgd",)),
        Parameter(
            "lr",
            (
                Case(Choice((1, 2, 3)), when={"optimizer": ("adamw",)}),
                Case(Choice((10, 20)), when={"optimizer": ("sgd",)}),
            ),
        ),
    )

    leaves = list(Tree(space, all_values).leaves())

    assert 3 + 2 * 2 == len(leaves)
    assert [1, 2, 3, 10, 10, 20, 20] == sorted(leaf["lr"] for leaf in leaves)
    assert {"lr": 1, "optimizer": "adamw"} in leaves


def test_a_grid_of_a_thousand_million_is_numbered_without_being_listed() -> None:
    space = a_space(*(a_choice(f"p{index}", *range(10)) for index in range(9)))

    tree = Tree(space, all_values)

    assert 10**9 == tree.size
    assert {f"p{index}": 9 - index for index in range(9)} == tree.leaf(987654321)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to five parameters, each with one or two cases, each case under up to two earlier parameters."""
    parameters: list[Parameter] = []
    for index in range(draw(st.integers(1, 5))):
        cases = []
        for branch in range(draw(st.integers(1, 2))):
            conditions = (
                draw(st.lists(st.sampled_from(parameters), max_size=2, unique_by=id)) if parameters else []
            )
            when = {
                condition.name: tuple(draw(st.sets(st.integers(0, 2), min_size=1, max_size=2)))
                for condition in conditions
            }
            count = draw(st.integers(1, 3))
            # a second case has values of its own, so that the branch can be told from the value
            values = tuple(range(count)) if branch == 0 else tuple(range(10, 10 + count))
            cases.append(Case(Choice(values), when=when))
        # names run against the order of conditions, so that the space has to sort
        parameters.append(Parameter(f"p{9 - index}", tuple(cases)))
    return a_space(*parameters)


@given(spaces())
def test_numbering_a_conditional_space_gives_each_combination_once(space: Space) -> None:
    tree = Tree(space, all_values)

    assert sorted(map(str, listed(space))) == sorted(map(str, tree.leaves()))
