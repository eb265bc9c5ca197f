"""Rows as a trained model takes them, encoded by what it learned in training and never fitted anew."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.data import text
from hypersweep_trainer.data.encode import Encoder
from hypersweep_trainer.data.image import held
from hypersweep_trainer.data.raw import DataError, Raw, Tokens
from hypersweep_trainer.data.reader import Reader
from hypersweep_trainer.data.stream import Held, Source, Straighten, Streamed, pair, tensor
from hypersweep_trainer.data.text import Windows, following
from hypersweep_trainer.data.view import View, decoded, evaluation
from hypersweep_trainer.saved import Model

Places = NDArray[np.int64]
Chosen = Places | slice  # which rows: a slice of them is no copy


def rows(model: Model, raw: Raw, chosen: Chosen) -> Streamed:
    """Some rows of a data set, or some tokens of a stream, with their targets; raises DataError.

    They stay where they lie and go to the device batch by batch: each is taken once. `raw.labels` are class
    codes or numbers in original units; where the target is a token or the row itself they do not matter.
    """
    match model.form.task:
        case "image":
            inputs, straighten = _images(model, raw, chosen)
        case "sequence":
            inputs, straighten = _tokens(model, raw, chosen)
        case _:
            inputs, straighten = _table(model, raw, chosen), pair()
    labelled = model.form.target in ("classification", "regression")
    sources = [inputs, _targets(model, raw, chosen)] if labelled else [inputs]
    return Streamed(sources, straighten, model.device)


def _table(model: Model, raw: Raw, chosen: Chosen) -> Source:
    assert raw.columns is not None
    columns = {name: cells[chosen] for name, cells in raw.columns.items()}
    return Held(tensor(Encoder.load(model.encoding).rows(columns)))


def _images(model: Model, raw: Raw, chosen: Chosen) -> tuple[Source, Straighten]:
    view, places = evaluation(model.encoding, model.device), _places(raw, chosen)
    if raw.pixels is None:
        return _files(model, raw, places, view), pair(view.finish)
    channels = model.form.shape[0]
    if raw.pixels.shape[1] != channels:
        raise DataError(
            f"images must have as many channels as the model's, {channels}, but have {raw.pixels.shape[1]}"
        )
    return held(raw.pixels, places, model.options.loader_workers), pair(view)


def _files(model: Model, raw: Raw, places: Places, view: View) -> Reader:
    assert raw.files is not None
    files, channels = [raw.files[row] for row in places], model.form.shape[0]
    return Reader(
        lambda row: decoded(files[row], channels, view.frame),
        (len(files), channels, *view.frame.size),
        torch.uint8,
        model.options.loader_workers,
    )


def _places(raw: Raw, chosen: Chosen) -> Places:
    return np.arange(len(raw.labels))[chosen] if isinstance(chosen, slice) else chosen


def _targets(model: Model, raw: Raw, chosen: Chosen) -> Source:
    """Class codes, or numbers in the scaled units of training."""
    labels = raw.labels[chosen]
    if model.form.target == "regression":
        labels = model.scaling.apply(labels).astype(np.float32)
    return Held(tensor(labels))


def _tokens(model: Model, raw: Raw, chosen: Chosen) -> tuple[Source, Straighten]:
    """All whole windows of a stream, one after the other; or rows, with their next tokens or labels."""
    assert raw.tokens is not None
    context, ahead = model.form.shape[0], model.form.target == "tokens"
    straighten = following if ahead else pair(Tensor.long)
    if raw.tokens.ndim == 1:
        stream = _encoded(model, raw.tokens[chosen])
        starts = torch.arange(max(len(stream) - 1, 0) // context) * context
        return Windows(tensor(stream), starts, context), straighten
    found, wanted = _encoded(model, raw.tokens), context + ahead
    if found.shape[1] != wanted:
        raise DataError(f"rows must hold {wanted} tokens, as in training, but hold {found.shape[1]}")
    return Held(tensor(found), torch.from_numpy(_places(raw, chosen))), straighten


def _encoded(model: Model, tokens: Tokens) -> Tokens:
    """Tokens as the network knows them; a stream of characters comes as their code points."""
    if tokens.ndim == 1 and model.encoding["tokenizer"] == "chars":
        return text.numbered(tokens, model.encoding)
    last = model.form.vocabulary - 1
    for strange in (int(tokens.min(initial=0)), int(tokens.max(initial=0))):
        if not 0 <= strange <= last:
            raise DataError(f"tokens must be from 0 to {last}, as in training, but one is {strange}")
    return tokens
