"""A pod template is merged as Kubernetes would."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersweep.template import KEPT, KEYS, merge

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.integers(0, 3) | st.text("xy", max_size=2)


def named(key: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    entry = st.fixed_dictionaries(
        {key: NAMES}, optional={"value": SCALARS, "more": st.dictionaries(NAMES, SCALARS)}
    )
    return st.lists(entry, max_size=3, unique_by=lambda found: found[key])


TEMPLATES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=2), max_size=3),
    lambda inner: st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
).flatmap(
    lambda plain: st.fixed_dictionaries({}, optional={name: named(key) for name, key in KEYS.items()}).map(
        lambda lists: plain | lists
    )
)


@given(TEMPLATES)
def test_merging_nothing_changes_nothing(template: dict[str, Any]) -> None:
    assert merge(template, {}) == template
    assert merge({}, template) == template


@given(TEMPLATES)
def test_merging_the_same_again_changes_nothing(template: dict[str, Any]) -> None:
    assert merge(template, template) == template


@given(TEMPLATES, TEMPLATES)
def test_merging_changes_neither_side(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = copy.deepcopy((base, over))
    merge(base, over)

    assert (base, over) == before


@given(TEMPLATES, TEMPLATES)
def test_what_is_merged_over_stands(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = merge(base, over)

    assert merge(merged, over) == merged


@pytest.mark.parametrize(("name", "key"), KEYS.items())
def test_entries_of_a_list_meet_by_key_and_keep_their_order(name: str, key: str) -> None:
    base = {name: [{key: "a"}, {key: "b", "x": 1}]}
    over = {name: [{key: "c"}, {key: "b", "x": 2}]}

    assert merge(base, over) == {name: [{key: "a"}, {key: "b", "x": 2}, {key: "c"}]}


def test_a_container_of_both_is_merged() -> None:
    base = {"containers": [{"name": "trial", "image": "one", "resources": {"limits": {"cpu": 1}}}]}
    over = {"containers": [{"name": "trial", "resources": {"requests": {"cpu": 1}}}]}

    assert merge(base, over)["containers"] == [
        {"name": "trial", "image": "one", "resources": {"limits": {"cpu": 1}, "requests": {"cpu": 1}}}
    ]


def test_a_volume_has_one_source_and_a_variable_one_value() -> None:
    base = {"volumes": [{"name": "shm", "emptyDir": {}}], "env": [{"name": "X", "value": "1"}]}
    over = {
        "volumes": [{"name": "shm", "hostPath": {"path": "/x"}}],
        "env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    }

    assert merge(base, over) == over


def test_any_other_list_is_replaced() -> None:
    assert merge({"args": [1, 2], "tolerations": [{"key": "a"}]}, {"args": [3], "tolerations": []}) == {
        "args": [3],
        "tolerations": [],
    }


def test_null_removes() -> None:
    base = {"securityContext": {"runAsNonRoot": True, "seccompProfile": {}}, "hostUsers": False}
    over = {"securityContext": {"runAsNonRoot": None}, "hostUsers": None, "absent": None}

    assert merge(base, over) == {"securityContext": {"seccompProfile": {}}}


@pytest.mark.parametrize("name", KEPT)
def test_an_empty_field_of_what_a_trial_is_removes_nothing(name: str) -> None:
    assert merge({name: [{"name": "a"}]}, {name: None}) == {name: [{"name": "a"}]}


@pytest.mark.parametrize("value", ["x", [{}], [{"name": 1}], ["x"]])
def test_a_list_without_its_keys_is_left_as_it_is(value: Any) -> None:
    assert merge({"containers": [{"name": "trial"}]}, {"containers": value}) == {"containers": value}
