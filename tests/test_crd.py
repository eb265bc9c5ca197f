"""The CustomResourceDefinition and the manifest reference: generated, complete, and fit for an API server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hypersweep import crd, reference
from hypersweep.sweepspec import IMMUTABLE
from hypersweep.unsupported import UNSUPPORTED, WORDS

ROOT = Path(__file__).parents[1]
SPEC = crd.schema()["properties"]["spec"]

# what a structural schema may not hold, or what Kubernetes would refuse
FORBIDDEN = {
    "$ref",
    "$defs",
    "anyOf",
    "allOf",
    "title",
    "const",
    "pattern",
    "patternProperties",
    "propertyNames",
}


def nodes(schema: Any, path: str = "spec") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}.*")


def rules(path: str) -> list[dict[str, Any]]:
    """The CEL rules of an object."""
    found: list[dict[str, Any]] = dict(nodes(SPEC))[path].get("x-kubernetes-validations", [])
    return found


def test_the_file_is_what_the_models_generate() -> None:
    assert (ROOT / "crds" / "hypersweep.yaml").read_text() == crd.text()


def test_the_reference_is_what_the_models_generate() -> None:
    assert (ROOT / "docs" / "manifest.md").read_text() == reference.text()


def test_the_schema_is_structural() -> None:
    wrong = [(path, FORBIDDEN & node.keys()) for path, node in nodes(crd.schema()) if FORBIDDEN & node.keys()]
    untyped = [
        path
        for path, node in nodes(crd.schema())
        if "type" not in node
        and "x-kubernetes-preserve-unknown-fields" not in node
        and "x-kubernetes-int-or-string" not in node
    ]

    assert (wrong, untyped) == ([], [])


def test_the_specification_holds_these_sections_and_no_other() -> None:
    assert sorted(SPEC["properties"]) == [
        "approve",
        "budget",
        "constraints",
        "earlyStopping",
        "maxFailedTrials",
        "maxTrials",
        "objectives",
        "parallelism",
        "parameters",
        "retries",
        "retry",
        "reuse",
        "seed",
        "seeds",
        "store",
        "strategy",
        "suspend",
        "trainer",
        "trial",
    ]


def test_nothing_is_accepted_that_is_not_named() -> None:
    open_objects = sorted(
        path
        for path, node in nodes(SPEC)
        if node.get("type") == "object" and "x-kubernetes-preserve-unknown-fields" in node
    )

    assert open_objects == [
        "spec.strategy.iterative.stages[].search.list[]",
        "spec.strategy.list[]",
        "spec.trainer",
        "spec.trial.podTemplate",
    ]


def test_every_field_says_what_it_means() -> None:
    silent = [
        path
        for path, node in nodes(SPEC)
        if not path.endswith(("[]", ".*")) and path != "spec" and not node.get("description")
    ]

    assert silent == []


@pytest.mark.parametrize("path", UNSUPPORTED)
def test_what_is_not_built_is_refused_at_apply_by_name(path: str) -> None:
    parent, _, name = f"spec.{path}".rpartition(".")

    refused = [rule for rule in rules(parent) if rule.get("fieldPath") == f".{name.partition('[')[0]}"]
    assert WORDS in [rule["message"] for rule in refused]


@pytest.mark.parametrize("name", IMMUTABLE)
def test_a_search_field_stays_as_it_was(name: str) -> None:
    messages = [rule["message"] for rule in rules("spec") if rule.get("fieldPath") == f".{name}"]

    assert crd.STAYS in messages
    assert "delete the sweep and apply it anew" in crd.STAYS


def test_parameters_are_told_apart_by_name_whatever_their_order() -> None:
    parameters = SPEC["properties"]["parameters"]

    assert parameters["x-kubernetes-list-type"] == "map"
    assert parameters["x-kubernetes-list-map-keys"] == ["name"]


def test_bounds_of_a_field_are_those_of_its_model() -> None:
    trial = SPEC["properties"]["trial"]["properties"]

    assert (trial["nodes"]["minimum"], trial["nodes"]["maximum"]) == (1, 1000)
    assert SPEC["properties"]["maxFailedTrials"]["minimum"] == 0


def test_people_see_these_columns() -> None:
    version = crd.crd()["spec"]["versions"][0]
    shown = [column["name"] for column in version["additionalPrinterColumns"] if "priority" not in column]

    assert shown == ["Strategy", "Phase", "Done/Total", "Running", "Failed", "Best", "Age"]
    assert crd.crd()["spec"]["names"]["shortNames"] == ["hs", "sweep"]


def test_parallelism_is_scaled() -> None:
    version = crd.crd()["spec"]["versions"][0]

    assert version["subresources"]["scale"] == {
        "specReplicasPath": ".spec.parallelism",
        "statusReplicasPath": ".status.replicas",
    }
    assert SPEC["properties"]["parallelism"]["default"] == 1


def test_it_fits_into_the_annotation_of_a_client_side_apply() -> None:
    document = yaml.safe_load(crd.text())

    assert len(json.dumps(document)) < 262_144
