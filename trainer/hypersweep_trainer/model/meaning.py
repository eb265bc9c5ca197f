"""What the places of a network's first and last tensors stand for: columns, pixels, tokens, classes."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Place = tuple[Hashable, ...]  # of a dimension: of which kind it is, the name of what it stands for, details
Axis = tuple[Place, ...]

FIRST = "body.0.linear.weight", "body.0.inner.linear.weight"  # of a fully connected network
SKIP = "body.0.skip.weight"
TABLES = "embed.tables."
TOKENS = "embed.vector.weight", "embed.table.weight"
LAST = "head.last."  # of a network that rebuilds its input
SKIPPED = "columns where skip connections add them"
SHORT = 4  # words that a line can spare


@dataclass(frozen=True)
class Bound:
    """A tensor, and what stands along one of its dimensions; () where units are just units."""

    name: str
    axis: Axis = ()
    dimension: int = 0


def bound(
    tensors: Mapping[str, Tensor], form: Mapping[str, Any], encoding: Mapping[str, Any], last: Sequence[str]
) -> dict[str, Bound]:
    """The tensors of a network, each by a name that it shares with those that mean the same in another one.

    `form` and `encoding` are plain types, as in `model.json`; `last` begins the names of layers that answer.
    """
    inputs = _inputs(tensors, form, encoding)
    outputs = _outputs(inputs, form, encoding)
    found = {name: Bound(name) for name in tensors}
    for name in tensors.keys() & {f"{layer}{kind}" for layer in (*last, LAST) for kind in ("weight", "bias")}:
        found[name] = Bound(name, outputs)
    if form["task"] == "sequence":
        return found | {name: Bound(name, inputs) for name in TOKENS if name in tensors}
    if not any(name in tensors for name in FIRST):
        return found
    if FIRST[1] in tensors and SKIP not in tensors:  # then each unit of each block is a column
        whole: Axis = ((SKIPPED, inputs),)
        found |= {name: Bound(name, whole) for name in tensors if name.startswith("body.")}
    else:
        found |= {name: Bound(name, inputs, 1) for name in (*FIRST, SKIP) if name in tensors}
    return _tables(found, encoding) if f"{TABLES}0.weight" in tensors else found


@torch.no_grad()
def laid(tensor: Tensor, own: Bound, given: Tensor, other: Bound) -> tuple[Tensor | None, str]:
    """A tensor with another one's numbers for all that both stand for, and why it does not have them all.

    It keeps its own for the rest; None, and not the tensor, stands for one that finds nothing.
    """
    if own.axis == other.axis:
        return (given, "") if tensor.shape == given.shape else (None, "another shape there")
    known = {place: number for number, place in enumerate(other.axis)}
    pairs = [(number, known[place]) for number, place in enumerate(own.axis) if place in known]
    if not pairs:
        return None, f"other {(own.axis or other.axis)[0][0]}"
    if _units(tensor, own) != _units(given, other):
        return None, "another shape there"
    here, there = torch.tensor(pairs).unbind(1)
    values = given.index_select(other.dimension, there).to(tensor.dtype)
    missing = dict.fromkeys(str(place[1]) for place in own.axis if place not in known)
    why = f"in part: {short(list(missing))}" if missing else ""
    return tensor.clone().index_copy_(own.dimension, here, values), why


def _units(tensor: Tensor, one: Bound) -> list[int]:
    """The sizes of the other dimensions."""
    return [size for dimension, size in enumerate(tensor.shape) if dimension != one.dimension]


def short(words: Sequence[str], between: str = ", ") -> str:
    """A few words, and how many there are beside them."""
    if len(words) <= SHORT:
        return between.join(words)
    return f"{between.join(words[: SHORT - 1])} and {len(words) - SHORT + 1} more"


def _inputs(tensors: Mapping[str, Tensor], form: Mapping[str, Any], encoding: Mapping[str, Any]) -> Axis:
    """Of a network's first layer, or of its table of tokens."""
    match form["task"]:
        case "tabular":
            return tuple(_columns(tensors, encoding))
        case "sequence":
            return _tokens(form["vocabulary"], encoding)
    shape = tuple(form["shape"])
    size = next((tensors[name].shape[1] for name in FIRST if name in tensors), 1)
    return tuple(("image shape", place, shape) for place in range(size))


def _columns(tensors: Mapping[str, Tensor], encoding: Mapping[str, Any]) -> Iterator[Place]:
    table, classes = encoding["table"], encoding["names"]
    for column in table["numbers"]:
        yield "columns", column["name"]
    for number, column in enumerate(table["categories"]):
        vectors = tensors.get(f"{TABLES}{number}.weight")
        details: Sequence[Hashable] = column["values"]
        if table["kind"] == "target":
            count = len(column["means"][0])
            details = (classes[1:2] if count == 1 else classes[:count]) or ["number"]
        elif vectors is not None:
            length = vectors.shape[1]
            details = [(length, place) for place in range(length)]
        yield from (("columns", column["name"], table["kind"] == "target", detail) for detail in details)


def _tokens(vocabulary: int, encoding: Mapping[str, Any]) -> Axis:
    """The token of what is hidden or unseen, then the others."""
    kind = encoding["tokenizer"]
    words: Sequence[Hashable] = encoding.get("characters", range(1, vocabulary))
    return ("tokens", "unseen", kind), *(("tokens", repr(word), kind) for word in words)


def _outputs(inputs: Axis, form: Mapping[str, Any], encoding: Mapping[str, Any]) -> Axis:
    """Of the layer that answers; a class means the same only beside the same others."""
    match form["target"]:
        case "classification":
            names = encoding["names"]
            others = hash(frozenset(names))  # many sets would take long to compare
            return tuple(("classes", name, others) for name in names)
        case "regression":
            return (("targets",),)
    return inputs


def _tables(found: dict[str, Bound], encoding: Mapping[str, Any]) -> dict[str, Bound]:
    """The vectors of categories under the names of their columns, by the values of these."""
    categories = {
        f"{TABLES}{number}.weight": column for number, column in enumerate(encoding["table"]["categories"])
    }
    others = {name: tensor for name, tensor in found.items() if name not in categories}
    return others | {
        f"{TABLES}{column['name']}": Bound(
            name,
            (
                ("categories", "unseen"),
                *(("categories", f"{column['name']}={value}", "seen") for value in column["values"]),
            ),
        )
        for name, column in categories.items()
    }
