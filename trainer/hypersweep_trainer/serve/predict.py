"""What a trained model predicts of rows, as a table."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hypersweep_trainer import loss, metric, saved
from hypersweep_trainer.data.encode import Encoder
from hypersweep_trainer.data.raw import DataError, Raw
from hypersweep_trainer.saved import Model
from hypersweep_trainer.serve import given, sheet
from hypersweep_trainer.serve.given import Given
from hypersweep_trainer.serve.rows import rows
from hypersweep_trainer.serve.sheet import Columns, Write

Each = Callable[[Tensor, Tensor], Columns]  # of outputs and targets of a batch


def run(url: str, place: str, output: str | None) -> str:
    """Write what the model at a URL predicts of rows; what is to be said of all of it, or nothing.

    Raises ValueError and DataError, in one sentence, and StoreError.
    """
    sheet.check(output)
    model = saved.opened(url)
    with given.told(place):
        found = given.read(model, place)
        with sheet.opened(output) as write:
            return predict(model, found, write)


def predict(model: Model, given: Given, write: Write) -> str:
    """Of each row the class with the probabilities of all, or a number in original units.

    Of a text, in windows as long as rows of training, how many nats each token takes; of a row that is
    rebuilt, how far it is off, in the units that the network sees. They are written batch by batch. Raises
    DataError.
    """
    match model.form.target:
        case "tokens":
            return _tokens(model, given.raw, write)
        case "classification":
            columns = _classes(model)
        case "regression":
            columns = _numbers(model)
        case _:
            columns = _distances
    done = 0
    for output, y in _outputs(model, given.raw):
        batch = slice(done, done + len(output))
        keys = {name: np.array(values[batch], object) for name, values in given.keys.items()}
        write({**keys, **columns(output, y)})
        done = batch.stop
    return _notes(model, given.raw)


def _notes(model: Model, raw: Raw) -> str:
    """What is odd in rows of a table, and no error."""
    return "" if raw.columns is None else "\n".join(Encoder.load(model.encoding).notes(raw.columns))


def _classes(model: Model) -> Each:
    """The most probable class, and the softmax of the outputs, whatever the loss was."""
    names = np.array(model.names, object)

    def columns(output: Tensor, y: Tensor) -> Columns:
        found = output.double().softmax(1).cpu().numpy()
        shares = {f"p_{name}": found[:, code] for code, name in enumerate(names)}
        return {"prediction": names[found.argmax(1)], **shares}

    return columns


def _numbers(model: Model) -> Each:
    value = loss.build(model.options, model.form, ()).value
    return lambda output, y: {"prediction": model.scaling.undo(value(output).double()).cpu().numpy()}


def _distances(output: Tensor, y: Tensor) -> Columns:
    return {"rmse": (output - y).double().square().flatten(1).mean(1).sqrt().cpu().numpy()}


def _tokens(model: Model, raw: Raw, write: Write) -> str:
    """Every token but the first one is predicted once; the last window of a text may be shorter."""
    raw, count = _filled(raw, model.form.shape[0])
    done, total = 0, 0.0
    for output, y in _outputs(model, raw):
        nats = _nats(output, y)
        held = done * nats.shape[1] + np.arange(nats.size).reshape(nats.shape) < count
        lengths, sums = held.sum(1), (nats * held).sum(1)
        columns = {
            "window": np.arange(done + 1, done + 1 + len(nats)),
            "tokens": lengths,
            "nats_per_token": sums / lengths,
            "perplexity": np.exp(sums / lengths),
        }
        write(columns)
        done, total = done + len(nats), total + float(sums.sum()) / count
    return f"in all {count} tokens: {total:.6g} nats per token, perplexity {math.exp(total):.6g}"


def _nats(output: Tensor, y: Tensor) -> NDArray[np.float64]:
    """Of each token the negative log of the probability that it was given."""
    each = functional.cross_entropy(output.double().flatten(0, 1), y.flatten(), reduction="none")
    found: NDArray[np.float64] = each.view_as(y).cpu().numpy()
    return found


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
def _outputs(model: Model, raw: Raw) -> Iterator[tuple[Tensor, Tensor]]:
    """What the network gives for all rows, and their targets, batch by batch."""
    found = rows(model, raw, slice(None))
    batches = torch.split(torch.arange(len(found), device=found.device), metric.size(model.form))
    found.hint(batches)
    for batch in batches:
        x, y = found.take(batch)
        yield model.network(x).float(), y
