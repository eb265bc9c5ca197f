"""The CustomResourceDefinition, generated from the manifest's models: `python -m hypersweep.crd`."""

import sys
from collections.abc import Iterator
from typing import Any

import yaml

from hypersweep import contract, unsupported
from hypersweep.scalar import OPEN, PATTERNS, SWEEP_NAME
from hypersweep.searchable import DECLARED, NEEDS_POINTS
from hypersweep.structural import Converter, Schema
from hypersweep.sweepspec import IMMUTABLE, LONGEST_NAME, SweepSpec

STAYS = "must stay as it is: to change it, delete the sweep and apply it anew"
UPWARDS = "may only be raised"


def crd() -> Schema:
    """The whole object, as `kubectl apply` takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{contract.PLURAL}.{contract.GROUP}"},
        "spec": {
            "group": contract.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": contract.KIND,
                "listKind": f"{contract.KIND}List",
                "plural": contract.PLURAL,
                "singular": contract.KIND.lower(),
                "shortNames": ["hs", "sweep"],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": contract.VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.parallelism",
                            "statusReplicasPath": ".status.replicas",
                        },
                    },
                    "additionalPrinterColumns": COLUMNS,
                }
            ],
        },
    }


def _column(name: str, path: str, kind: str = "string", **more: Any) -> Schema:
    return {"name": name, "type": kind, "jsonPath": path, **more}


COLUMNS = [
    _column("Strategy", ".status.strategy"),
    _column("Phase", ".status.phase"),
    _column("Done/Total", ".status.progress", description="Finished trials of all that are planned."),
    _column("Running", ".status.trials.running", "integer"),
    _column("Failed", ".status.trials.failed", "integer"),
    _column("Best", ".status.bestValue"),
    _column("Reason", ".status.reason", priority=1),
    _column("Store", ".status.store", priority=1),
    _column("Age", ".metadata.creationTimestamp", "date"),
]


def schema() -> Schema:
    name = "self.metadata.name"
    return {
        "type": "object",
        "description": "A hyperparameter sweep: what to search, how, and how a trial runs.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _specification(),
            "status": STATUS,
        },
        "x-kubernetes-validations": [
            {
                "rule": f"{name}.size() <= {LONGEST_NAME}",
                "message": f"metadata.name: must be at most {LONGEST_NAME} characters long",
            },
            {"rule": f"{name}.matches('{SWEEP_NAME}')", "message": f"metadata.name: {PATTERNS[SWEEP_NAME]}"},
        ],
    }


# -- the specification


def _specification() -> Schema:
    generated = SweepSpec.model_json_schema(by_alias=True)
    spec: Schema = Converter(generated["$defs"]).object(SweepSpec, generated)
    properties = spec["properties"]
    properties["parallelism"]["default"] = SweepSpec.model_fields["parallelism"].default  # what scale reads
    properties["parameters"] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    stage = properties["strategy"]["properties"]["iterative"]["properties"]["stages"]["items"]
    for names in ("parameters", "retune"):
        stage["properties"][names]["x-kubernetes-list-type"] = "set"
    spec["x-kubernetes-validations"] += [*_relations(), *_transitions()]
    for path in unsupported.UNSUPPORTED:
        _refuse(spec, path)
    return spec


def _relations() -> Iterator[Schema]:
    """What Python says of one parameter or stage and CEL can only say of all."""
    grid = "self.strategy.grid"
    has_axis = (
        "(!has({0}.float) || has({0}.float.step)"
        f" || (has({grid}.perDecade) && has({{0}}.float.scale) && {{0}}.float.scale == 'log'))"
    )
    cases = f"(!has(p.cases) || p.cases.all(c, {has_axis.format('c')}))"
    yield {
        "rule": f"!has({grid}) || has({grid}.points) || !has(self.parameters)"
        f" || self.parameters.all(p, {has_axis.format('p')} && {cases})",
        "message": NEEDS_POINTS,
        "fieldPath": ".strategy.grid",
    }
    for names in ("parameters", "retune"):
        # as sets: name by name would exceed what a rule may cost
        declared = f"sets.contains(self.parameters.map(p, p.name), s.{names})"
        yield {
            "rule": "!has(self.strategy.iterative) || !has(self.parameters)"
            f" || self.strategy.iterative.stages.all(s, !has(s.{names}) || {declared})",
            "message": f"each name of a stage's {names} {DECLARED}",
            "fieldPath": ".strategy.iterative.stages",
        }


def _transitions() -> Iterator[Schema]:
    """What may change while a sweep lives, and how."""
    for name in IMMUTABLE:
        same = (
            f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})"
        )
        yield {"rule": same, "message": STAYS, "fieldPath": f".{name}"}
    image = "has({0}.trial) && has({0}.trial.image) ? {0}.trial.image : ''"
    yield {
        "rule": f"({image.format('self')}) == ({image.format('oldSelf')})",
        "message": STAYS,
        "fieldPath": ".trial.image",
    }
    yield {
        "rule": "!has(oldSelf.maxTrials) || !has(self.maxTrials) || self.maxTrials >= oldSelf.maxTrials",
        "message": UPWARDS,
        "fieldPath": ".maxTrials",
    }


def _refuse(spec: Schema, path: str) -> None:
    """Give the parent of an unsupported field the rule that refuses it by name."""
    *parents, name = path.split(".")
    node = spec
    for step in parents:
        node = node["properties"][step.removesuffix("[]")]
        node = node["items"] if step.endswith("[]") else node
    if name.endswith("]"):
        name, index = name.removesuffix("]").split("[")
        rule = {"rule": f"self.{name}.size() <= {index}", "fieldPath": f".{name}"}
    else:
        rule = {"rule": f"!has(self.{name})", "fieldPath": f".{name}"}
    node.setdefault("x-kubernetes-validations", []).append(
        rule | {"message": unsupported.WORDS, "reason": "FieldValueForbidden"}
    )


# -- the status

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer", "format": "int64"}
NUMBER: Schema = {"type": "number"}


def _fields(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


STATUS: Schema = _fields(
    observedGeneration=INTEGER,
    phase=TEXT,
    reason=TEXT,
    message=TEXT,
    strategy=TEXT,
    progress=TEXT,
    trials={"type": "object", "additionalProperties": INTEGER},
    restarts={"type": "object", "additionalProperties": INTEGER},
    replicas=INTEGER,
    bestValue=TEXT,
    best={
        "type": "array",
        "maxItems": 10,
        "items": _fields(
            trials={"type": "array", "items": INTEGER},
            value=NUMBER,
            standardError=NUMBER,
            replicates=INTEGER,
            parameters=OPEN,
        ),
    },
    completed=TEXT,
    failedTrials=TEXT,
    stage=_fields(index=INTEGER, name=TEXT),
    lastDecision=_fields(stage=TEXT, why=TEXT, adopted={"type": "boolean"}, parameters=OPEN, numbers=OPEN),
    chosen=OPEN,
    store=TEXT,
    preset=TEXT,
    startedAt={"type": "string", "format": "date-time"},
    finishedAt={"type": "string", "format": "date-time"},
    gpuSeconds=NUMBER,
    conditions={
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "lastTransitionTime"],
            "properties": {
                "type": TEXT,
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "reason": TEXT,
                "message": TEXT,
                "observedGeneration": INTEGER,
                "lastTransitionTime": {"type": "string", "format": "date-time"},
            },
        },
    },
)


class _Dumper(yaml.SafeDumper):
    """Without anchors: people read this file."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text() -> str:
    note = "# Generated from the manifest's models by `python -m hypersweep.crd`; do not edit.\n"
    return note + yaml.dump(crd(), Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


if __name__ == "__main__":
    sys.stdout.write(text())
