"""The manifest reference, generated from the models: `python -m hypersweep.reference > docs/manifest.md`."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from hypersweep import unsupported
from hypersweep.crd import schema
from hypersweep.scalar import DURATION
from hypersweep.structural import Schema
from hypersweep.sweepspec import IMMUTABLE

INTRODUCTION = """\
# Manifest reference

Every field of a `HyperSweep`, from the same models that validate it. A sweep is the same object on a
laptop (`hypersweep run`) and on a cluster (`kubectl apply`).

```yaml
apiVersion: hypersweep.io/v1alpha1
kind: HyperSweep
metadata:
  name: digits  # lower-case letters, digits and -, at most 40: names of Jobs and pods derive from it
spec:
  objectives: [{metric: val_accuracy, goal: maximize}]
  parameters:
    - {name: lr, float: {min: 1e-4, max: 1e-1, scale: log}, start: 1e-3}
    - {name: depth, int: {min: 1, max: 4}}
  strategy: {random: {}}
  maxTrials: 20
  trainer: {data: digits}
```

- **Numbers** are YAML 1.2 numbers everywhere: `1e-4` is a number. Words such as `on` and `yes` are booleans
  to `kubectl`: as values they must be in quotes.
- **Wrong manifests** are refused when applied, as far as one or two fields tell; whatever else is wrong
  becomes a condition and an Event of the sweep. `hypersweep validate` says the same words, all at once.
- **Live** fields may change while a sweep runs, and count from the next pass on. All others stay as they
  were applied, also of a sweep that was then found `Invalid` and never began: to change one, delete the sweep
  (`kubectl delete -f`) and apply it anew. The order of `parameters` means nothing.
- **Options of the built-in trainer**, fixed in `trainer` or swept as `parameters`, have
  [a page of their own](hyperparameters.md). One that is unknown, or that has an effect in no branch of the
  sweep, is refused; so are values that cannot stand together in a configuration that the sweep can choose.
- **Not supported yet** marks fields that are refused by name.

## Stores

`store.url` says where everything of the sweep is written. A manifest seldom needs it: without it the
operator's own store is used, if its chart configures one (`store.url`), and on a laptop the folder
`runs/<name>`. A sweep may name another URL only where the operator's configuration allows it.

Without any store the cluster itself keeps the sweep's journal, in a ConfigMap. Nothing needs to be set up
then, but results are only what trials put into their termination message, there are no live curves, no
checkpoints to resume from and no models to predict with, at most 1000 runs fit, and the condition `Durable`
is False.

## Conditions between parameters

A parameter with `cases` takes the first case whose `when` holds; where none holds it is left out of the
configuration. `when: {optimizer: [sgd, adamw]}` holds if `optimizer` is one of the two; several names must
all hold. A parameter that falls into another case starts afresh there: the learning rate of one optimizer
says nothing of another's.

## Axes

A grid takes all values of a choice, and of an integer or stepped range with at most 10 values. Larger ones,
and every other float, need `points` (that many values, even on the scale, ends included) or `perDecade` of
a log scale. A stage of an iterative sweep without `search` takes all values up to 7, else 5.

## Fields
"""


def text() -> str:
    spec = schema()["properties"]["spec"]
    rows = "\n".join(_rows("", spec))
    return f"{INTRODUCTION}\n| Field of `spec` | Type | Meaning | May change |\n|---|---|---|---|\n{rows}\n"


def _rows(path: str, node: Schema) -> Iterator[str]:
    required = node.get("required", [])
    for name, field in node.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        must = " **Required.**" if name in required else ""
        meaning = f"{field.get('description', '')}{must}".replace("|", "\\|").strip()
        yield f"| `{below}` | {_kind(field)} | {meaning} | {_change(below)} |"
        yield from _rows(f"{below}[]" if field.get("type") == "array" else below, field.get("items", field))


def _kind(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_plural(field['items'])}"
    if "additionalProperties" in field:
        return f"map of {_plural(field['additionalProperties'])}"
    if any(DURATION in rule["rule"] for rule in field.get("x-kubernetes-validations", ())):
        return "duration: `90s`, `1h30m`"
    kind = str(field.get("type", "quantity" if "x-kubernetes-int-or-string" in field else "any value"))
    return kind + _bounds(field)


def _plural(field: Mapping[str, Any]) -> str:
    kind = _kind(field)
    words = {"any value": "values", "quantity": "quantities"}
    return words.get(kind, kind.replace("integer", "integers") if " " in kind else f"{kind}s")


def _bounds(field: Mapping[str, Any]) -> str:
    """The limits that mean something; those of what a number can hold do not."""
    low, high = field.get("minimum"), field.get("maximum")
    low, high = (limit if limit is not None and abs(limit) < 2**31 - 1 else None for limit in (low, high))
    above = "above" if field.get("exclusiveMinimum") else "from"
    parts = [f"{above} {low:g}"] if low is not None else []
    parts += [f"to {high:g}"] if high is not None else []
    return f" {' '.join(parts)}" if parts else ""


def _change(path: str) -> str:
    top = path.split(".")[0].split("[")[0]
    if any(_matches(path, refused) for refused in unsupported.UNSUPPORTED):
        return "not supported yet"
    if top in IMMUTABLE or path == "trial.image":
        return "no"
    return CHANGES.get(path, CHANGES.get(top, "live"))


CHANGES = {
    "maxTrials": "live, upwards",
    "trial": "live, from the next attempt",
    "trial.podTemplate": "live, from the next attempt; image and command of the trial: no",
}


def _matches(path: str, refused: str) -> bool:
    return path == refused or path.startswith((f"{refused}.", f"{refused}["))


if __name__ == "__main__":
    sys.stdout.write(text())
