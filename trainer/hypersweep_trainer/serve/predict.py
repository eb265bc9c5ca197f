"""What a trained model predicts of rows, as a table."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hypersweep_trainer import loss, metric, saved
from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.saved import Model
from hypersweep_trainer.serve import given, sheet
from hypersweep_trainer.serve.given import Given
from hypersweep_trainer.serve.rows import rows
from hypersweep_trainer.serve.sheet import Columns

Each = Callable[[Tensor, Tensor], Tensor]  # of outputs and targets of a batch, what is kept


@dataclass(frozen=True)
class Predicted:
    """A table, and one line on all of it where there is something to say."""

    columns: Columns
    words: str = ""


def run(url: str, place: str, output: str | None) -> str:
    """Write what the model at a URL predicts of rows; what is to be said of it.

    Raises ValueError and DataError, in one sentence, and StoreError.
    """
    sheet.check(output)
    model = saved.opened(url)
    with given.told(place):
        found = predict(model, given.read(model, place))
    sheet.write(found.columns, output)
    return found.words


def predict(model: Model, given: Given) -> Predicted:
    """Of each row the class with the probabilities of all, or a number in original units.

    Of a text, in windows as long as rows of training, how many nats each token takes; of a row that is
    rebuilt, how far it is off, in the units that the network sees. Raises DataError.
    """
    match model.form.target:
        case "classification":
            return Predicted({**_keys(given), **_classes(model, given.raw)})
        case "regression":
            return Predicted({**_keys(given), "prediction": _numbers(model, given.raw)})
        case "tokens":
            return _tokens(model, given.raw)
    return Predicted({**_keys(given), "rmse": _kept(model, given.raw, _distance)})


def _keys(given: Given) -> Columns:
    return {name: np.array(values, object) for name, values in given.keys.items()}


def _classes(model: Model, raw: Raw) -> Columns:
    """The most probable class, and the softmax of the outputs, whatever the loss was."""
    found = _kept(model, raw, lambda output, y: output.double().softmax(1))
    names = np.array(model.names, object)
    return {"prediction": names[found.argmax(1)]} | {
        f"p_{name}": found[:, code] for code, name in enumerate(names)
    }


def _numbers(model: Model, raw: Raw) -> NDArray[Any]:
    value = loss.build(model.options, model.form, ()).value
    return _kept(model, raw, lambda output, y: model.scaling.undo(value(output).double()))


def _distance(output: Tensor, y: Tensor) -> Tensor:
    return (output - y).double().square().flatten(1).mean(1).sqrt()


def _nats(output: Tensor, y: Tensor) -> Tensor:
    """Of each token the negative log of the probability that it was given."""
    each = functional.cross_entropy(output.double().flatten(0, 1), y.flatten(), reduction="none")
    return each.view_as(y)


def _tokens(model: Model, raw: Raw) -> Predicted:
    """Every token but the first one is predicted once; the last window of a text may be shorter."""
    raw, count = _filled(raw, model.form.shape[0])
    nats = _kept(model, raw, _nats)
    held = np.arange(nats.size).reshape(nats.shape) < count
    lengths = held.sum(1)
    means, total = (nats * held).sum(1) / lengths, float(nats[held].mean())
    columns = {
        "window": np.arange(1, len(nats) + 1),
        "tokens": lengths,
        "nats_per_token": means,
        "perplexity": np.exp(means),
    }
    words = f"in all {count} tokens: {total:.6g} nats per token, perplexity {math.exp(total):.6g}"
    return Predicted(columns, words)


def _filled(raw: Raw, context: int) -> tuple[Raw, int]:
    """A text with as many tokens more as its last window lacks, and how many it has itself to predict."""
    assert raw.tokens is not None
    if raw.tokens.ndim > 1:
        return raw, raw.tokens[:, 1:].size
    count = len(raw.tokens) - 1
    if count < 1:
        raise DataError("a text must hold two tokens at least, of which the first one predicts the second")
    tokens = np.pad(raw.tokens, (0, -count % context))
    return replace(raw, tokens=tokens, labels=np.zeros(len(tokens), np.int64)), count


@torch.no_grad()
def _kept(model: Model, raw: Raw, each: Each) -> NDArray[Any]:
    """What is kept of each row, batch by batch."""
    found, kept = rows(model, raw, np.arange(len(raw.labels))), []
    order = torch.arange(len(found), device=found.device)
    found.hint(order)
    for batch in torch.split(order, metric.size(model.form)):
        x, y = found.take(batch)
        kept.append(each(model.network(x).float(), y).cpu())
    return torch.cat(kept).numpy()
