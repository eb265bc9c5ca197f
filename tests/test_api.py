"""The manifest: what it means, what is wrong with it, and what of it may change."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersweep.api import HyperSweep, SpecError, differing_fields, load, problems, searched
from hypersweep.document import read
from hypersweep.trial import Objective
from tests.wrong import SOUND, WRONG, Wrong

OWN = "trial: {podTemplate: {spec: {containers: [{name: trial, command: [train, --fast], args: [-v]}]}}}"


def a_manifest(sections: str = "") -> dict[str, Any]:
    return Wrong("", sections, ()).manifest


def a_sweep(sections: str = "") -> HyperSweep:
    return load(a_manifest(sections))


def with_its_own_command() -> dict[str, Any]:
    manifest = a_manifest(OWN)
    del manifest["spec"]["trainer"]
    return manifest


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_a_wrong_manifest_is_refused_in_exactly_these_words(wrong: Wrong) -> None:
    assert list(wrong.problems) == problems(wrong.manifest)


def test_all_problems_are_said_at_once() -> None:
    manifest = a_manifest(
        """
        objectives: [{metric: acc, goal: max}]
        parameters:
          - {name: lr, float: {min: 1, max: 0.1}}
          - {name: learning_rate, choice: [0.1]}
          - {name: depth, int: {min: 1, max: 4}, start: 7}
        strategy: {grid: {}, random: {}}
        constraints: [a]
        trainer: {epochz: 3}
        trial: {nodes: 0, podTemplate: {spec: {subdomain: x}}}
        """
    )

    assert problems(manifest) == [
        "spec.constraints: not supported yet",
        'spec.objectives[0].goal: must be one of maximize, minimize, but found "max"',
        "spec.parameters[0].float: min < max must hold, but found min=1, max=0.1",
        "spec.strategy: exactly one of list, grid, random, sobol, bayesian, iterative must be given, "
        "but found grid, random",
        "spec.trial.nodes: must be at least 1, but found 0",
        'spec.trial.podTemplate.spec.subdomain: must be left to the operator, but found "x"',
        "spec.parameters[2].start: must be from 1 to 4, but found 7",
        "spec.trainer.epochz: is not an option of the built-in trainer; did you mean epochs?",
        "spec.parameters[1]: learning_rate is not an option of the built-in trainer; "
        "did you mean lr or min_lr_ratio?",
    ]


def test_loading_raises_every_problem() -> None:
    with pytest.raises(SpecError) as refused:
        load(a_manifest("{seeds: 0, parallelism: -1}"))

    assert refused.value.problems == [
        "spec.seeds: must be at least 1, but found 0",
        "spec.parallelism: must be at least 0, but found -1",
    ]


def test_a_text_that_is_no_yaml_is_refused_with_its_place() -> None:
    with pytest.raises(SpecError) as refused:
        load("spec: {a: 1\nb: 2")

    assert refused.value.problems[0].startswith("not YAML: line 2, column ")


def test_a_text_of_two_manifests_is_refused() -> None:
    with pytest.raises(SpecError) as refused:
        load(f"{SOUND}\n---\n{SOUND}")

    assert refused.value.problems == ["one HyperSweep must be given, but found 2 documents"]


def test_another_kind_of_object_is_refused() -> None:
    found = problems({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}})

    assert found == [
        'apiVersion: must be hypersweep.io/v1alpha1, but found "batch/v1"',
        'kind: must be HyperSweep, but found "Job"',
        "spec: must be an object, but found null",
    ]


def test_a_name_of_forty_characters_is_fine() -> None:
    manifest = a_manifest()
    manifest["metadata"]["name"] = "a" * 40

    assert problems(manifest) == []


def test_without_a_store_more_than_a_thousand_runs_are_refused() -> None:
    manifest = a_manifest("maxTrials: 5000")

    assert problems(manifest, durable=False) == [
        "spec.maxTrials: without a store it must be at most 1000, but found 5000"
    ]
    assert problems(manifest, durable=True) == []


def test_fields_have_no_second_spelling() -> None:
    assert problems(a_manifest("budget: {gpu_hours: 1}")) == [
        "spec.budget.gpu_hours: no such field; did you mean gpuHours?"
    ]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
RICH = """
    objectives: [{metric: val_accuracy, goal: maximize, target: 0.9}]
    parameters:
      - {name: optimizer, choice: [sgd, adamw]}
      - name: lr
        cases:
          - {when: {optimizer: [sgd]}, float: {min: 0.1, max: 1}, start: 0.5}
          - {when: {optimizer: [adamw]}, choice: [0.1]}
    strategy: {iterative: {stages: [{parameters: [lr], search: {grid: {points: 2}}}], final: {seeds: 3}}}
    budget: {gpuHours: 1, wallClock: 1h}
    trial:
      resources: {limits: {nvidia.com/gpu: 1}}
      podTemplate:
        metadata: {labels: {a: b}}
        spec: {containers: [{name: trial, env: [{name: A, value: b}], resources: {limits: {cpu: 1}}}]}
"""


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything within a document."""
    if isinstance(document, dict | list):
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        return [path] * bool(path) + [place for key in keys for place in places(document[key], (*path, key))]
    return [path]


def test_a_rich_manifest_is_fine() -> None:
    assert problems(a_manifest(RICH)) == []


@settings(max_examples=200, deadline=None)
@given(place=st.sampled_from(places(a_manifest(RICH))), value=JSON)
def test_whatever_stands_anywhere_is_told_and_never_crashes(place: tuple[Any, ...], value: Any) -> None:
    manifest = a_manifest(RICH)
    node = manifest
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value

    if not problems(manifest):
        spec = load(manifest).spec
        assert spec.space.start() == spec.space.resolve({})
        assert differing_fields(spec.search_document(), spec.search_document()) == []


def test_null_is_the_same_as_absent() -> None:
    assert load(a_manifest() | {"status": None}).spec == a_sweep().spec
    manifest = a_manifest()
    manifest["spec"]["store"] = None

    assert load(manifest).spec.store is None


# -- what a manifest means


def test_defaults_are_those_of_the_reference() -> None:
    spec = a_sweep("{maxTrials: null, trainer: null}").spec

    assert (spec.seeds, spec.seed, spec.parallelism, spec.max_trials) == (1, 0, 1, None)
    assert (spec.retries.errors, spec.retries.preemptions, spec.max_failed_trials) == (1, 20, 5)
    assert (spec.suspend, spec.trainer, spec.store) == (False, {}, None)
    assert (spec.trial.nodes, spec.trial.ranks_per_node, spec.trial.command) == (1, 1, None)


def test_an_iterative_sweep_runs_three_seeds_unless_told_otherwise() -> None:
    iterative = "strategy: {iterative: {stages: [{parameters: [lr]}]}}"

    assert [a_sweep(iterative).spec.seeds, a_sweep(f"{iterative}\nseeds: 5").spec.seeds] == [3, 5]


def test_the_first_objective_is_what_decides() -> None:
    spec = a_sweep("objectives: [{metric: val_loss, goal: minimize, target: 0.1, at: 'mean:3'}]").spec

    assert spec.objective == Objective("val_loss", maximize=False, target=0.1, at="mean:3")


def test_durations_are_hours_minutes_and_seconds() -> None:
    spec = a_sweep("{budget: {wallClock: 1h30m}, trial: {timeout: 90s, startTimeout: 2h5s}}").spec

    assert spec.budget is not None
    assert spec.budget.wall_clock == timedelta(minutes=90)
    assert spec.trial.timeout == timedelta(seconds=90)
    assert spec.trial.start_timeout == timedelta(hours=2, seconds=5)


def test_a_command_of_its_own_replaces_the_built_in_trainer() -> None:
    spec = load(with_its_own_command()).spec

    assert spec.trial.command == ("train", "--fast", "-v")
    assert spec.trainer is None


def test_options_of_the_trainer_beside_a_command_of_its_own_are_refused() -> None:
    assert problems(a_manifest(OWN)) == [
        "spec.trainer: configures the built-in trainer, but found a command of its own "
        "in spec.trial.podTemplate"
    ]


def test_a_command_of_its_own_may_have_any_parameter_and_metric() -> None:
    manifest = with_its_own_command()
    manifest["spec"]["objectives"] = [{"metric": "score", "goal": "maximize"}]
    manifest["spec"]["parameters"] = [{"name": "anything", "choice": [1, "a", True, [1, 2]]}]

    assert load(manifest).spec.space.start() == {"anything": 1}


def test_a_node_runs_a_rank_per_gpu() -> None:
    spec = a_sweep("trial: {resources: {limits: {nvidia.com/gpu: 4, memory: 8Gi}}, ranks: 2}").spec

    assert (spec.trial.gpus, spec.trial.ranks_per_node) == (4, 4)


def test_without_gpus_a_node_runs_as_many_ranks_as_asked_for() -> None:
    assert a_sweep("trial: {ranks: 2}").spec.trial.ranks_per_node == 2


def test_a_list_without_parameters_runs_its_configurations_as_they_stand() -> None:
    spec = a_sweep("{parameters: null, strategy: {list: [{lr: 0.1, depth: 2}, {lr: 0.01}]}}").spec

    assert spec.listed == ({"depth": 2, "lr": 0.1}, {"lr": 0.01})


def test_a_list_is_completed_by_the_declared_parameters() -> None:
    spec = a_sweep("strategy: {list: [{depth: 2}, {lr: 0.01, depth: 3}]}").spec

    assert spec.listed == ({"depth": 2, "lr": 0.001}, {"depth": 3, "lr": 0.01})


# -- what may change


def test_the_order_of_parameters_does_not_count() -> None:
    manifest = a_manifest()
    manifest["spec"]["parameters"].reverse()
    one, other = a_sweep().spec, load(manifest).spec

    assert (one.space, one.search_document()) == (other.space, other.search_document())


def test_live_fields_are_no_part_of_what_is_searched() -> None:
    live = """
    {maxTrials: 50, parallelism: 7, suspend: true, budget: {gpuHours: 1}, maxFailedTrials: 0,
     retries: {errors: 9}, trial: {timeout: 1h, resources: {limits: {cpu: 2}}}}
    """

    assert a_sweep(live).spec.search_document() == a_sweep().spec.search_document()


def test_a_changed_search_is_named_field_by_field() -> None:
    changed = a_manifest("{seeds: 2, trial: {image: mine}, trainer: {data: digits, epochs: 2}}")
    changed["spec"]["parameters"][0]["float"]["max"] = 1

    assert differing_fields(a_sweep().spec.search_document(), load(changed).spec.search_document()) == [
        "spec.parameters[lr].float.max: must stay 0.1, but found 1.0",
        "spec.seeds: must stay 1, but found 2",
        "spec.trainer.epochs: must stay 1, but found 2",
        'spec.trial.image: must stay absent, but found "mine"',
    ]


def test_a_changed_command_is_a_changed_search() -> None:
    other = with_its_own_command()
    other["spec"]["trial"]["podTemplate"]["spec"]["containers"][0]["args"] = ["-q"]

    assert differing_fields(
        load(with_its_own_command()).spec.search_document(), load(other).spec.search_document()
    ) == ['spec.trial.command[2]: must stay "-v", but found "-q"']


def test_whole_numbers_mean_the_same_with_and_without_a_point() -> None:
    one = a_sweep("parameters: [{name: dropout, choice: [0.0, 0.5]}]")
    other = a_sweep("parameters: [{name: dropout, choice: [0, 0.5]}]")

    assert one.spec.search_document() == other.spec.search_document()


# -- YAML as Kubernetes reads it


def test_numbers_are_those_of_yaml_1_2() -> None:
    text = "[1e-4, 1e3, .5, 1., -2, +3, 0x10, 0o17]"

    assert read(text) == [[0.0001, 1000.0, 0.5, 1.0, -2, 3, 16, 15]]


@pytest.mark.parametrize("number", ["010", "1_000", "0b11"])
def test_numbers_that_kubectl_reads_differently_are_refused(number: str) -> None:
    with pytest.raises(ValueError, match=f"line 1, column 4: {number} is another number to other readers"):
        read(f"a: {number}")


def test_words_stay_words() -> None:
    assert read("[on, off, yes, no, y, 12:30:00, 2026-01-01, 1e]") == [
        ["on", "off", "yes", "no", "y", "12:30:00", "2026-01-01", "1e"]
    ]


def test_a_bare_word_that_is_true_to_kubectl_is_refused_as_a_value() -> None:
    manifest = read(SOUND.replace("data: digits", "data: on"))[0]

    assert problems(manifest) == [
        "spec.trainer.data: must be in quotes, true or false: this bare word is a boolean to kubectl, "
        'but found "on"'
    ]
    assert load(SOUND.replace("depth", "y").replace("trainer: {data: digits, epochs: 1}", OWN))


def test_nothing_has_several_spellings() -> None:
    assert read("{a: null, b: ~, c: }") == [{"a": None, "b": None, "c": None}]


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2, column 1: the key 'a' stands twice"):
        read("a: 1\na: 2")


@pytest.mark.parametrize("manifest", [a_manifest(), with_its_own_command()], ids=["built-in", "own"])
def test_a_search_document_tells_what_is_searched_and_by_whom(manifest: dict[str, Any]) -> None:
    spec = load(manifest).spec

    found = searched(spec.search_document())

    assert (spec.space, spec.strategy, spec.trial.command) == (
        found.space,
        found.strategy,
        found.trial.command,
    )
