"""Rows as a trained model takes them, encoded by what it learned in training and never fitted anew."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersweep_trainer.data import text
from hypersweep_trainer.data.encode import Encoder
from hypersweep_trainer.data.image import held
from hypersweep_trainer.data.raw import DataError, Raw, Resident, Rows, Tokens
from hypersweep_trainer.data.reader import Reader
from hypersweep_trainer.data.stream import Held, Streamed, pair
from hypersweep_trainer.data.text import Windows
from hypersweep_trainer.data.view import View, decoded, evaluation
from hypersweep_trainer.saved import Model

Places = NDArray[np.int64]


def rows(model: Model, raw: Raw, chosen: Places) -> Rows:
    """Some rows of a data set, or some tokens of a stream, with their targets; raises DataError.

    `raw.labels` are class codes or numbers in original units; where the target is a token or the row itself
    they do not matter.
    """
    match model.form.task:
        case "image":
            return _images(model, raw, chosen)
        case "sequence":
            return _tokens(model, raw, chosen)
    return _table(model, raw, chosen)


def _table(model: Model, raw: Raw, chosen: Places) -> Rows:
    assert raw.columns is not None
    columns = {name: cells[chosen] for name, cells in raw.columns.items()}
    x = torch.from_numpy(Encoder.load(model.encoding).rows(columns)).to(model.device)
    return Resident(x, x if model.form.target == "reconstruction" else _targets(model, raw, chosen))


def _images(model: Model, raw: Raw, chosen: Places) -> Rows:
    view = evaluation(model.encoding, model.device)
    y = [] if model.form.target == "reconstruction" else [Held(_targets(model, raw, chosen).cpu())]
    if raw.pixels is None:
        return Streamed([_files(model, raw, chosen, view), *y], pair(view.finish), model.device)
    channels = model.form.shape[0]
    if raw.pixels.shape[1] != channels:
        raise DataError(
            f"images must have as many channels as the model's, {channels}, but have {raw.pixels.shape[1]}"
        )
    images = held(raw.pixels, chosen, model.options.loader_workers)
    return Streamed([images, *y], pair(view), model.device)


def _files(model: Model, raw: Raw, chosen: Places, view: View) -> Reader:
    assert raw.files is not None
    files, channels = [raw.files[row] for row in chosen], model.form.shape[0]
    return Reader(
        lambda row: decoded(files[row], channels, view.frame),
        (len(files), channels, *view.frame.size),
        torch.uint8,
        model.options.loader_workers,
    )


def _targets(model: Model, raw: Raw, chosen: Places) -> Tensor:
    """Class codes, or numbers in the scaled units of training."""
    labels = raw.labels[chosen]
    if model.form.target == "regression":
        labels = model.scaling.apply(labels).astype(np.float32)
    return torch.from_numpy(labels).to(model.device)


def _tokens(model: Model, raw: Raw, chosen: Places) -> Rows:
    """All whole windows of a stream, one after the other; or rows, with their next tokens or labels."""
    assert raw.tokens is not None
    found, context = _encoded(model, raw.tokens[chosen]), model.form.shape[0]
    tokens = torch.from_numpy(found).to(model.device)
    if found.ndim == 1:
        starts = torch.arange(max(len(found) - 1, 0) // context, device=model.device) * context
        return Windows(tokens, starts, context)
    wanted = context + (model.form.target == "tokens")
    if found.shape[1] != wanted:
        raise DataError(f"rows must hold {wanted} tokens, as in training, but hold {found.shape[1]}")
    if model.form.target == "tokens":
        return Windows(tokens.flatten(), torch.arange(len(found), device=model.device) * wanted, context)
    return Resident(tokens.long(), _targets(model, raw, chosen))


def _encoded(model: Model, tokens: Tokens) -> Tokens:
    """Tokens as the network knows them; a stream of characters comes as their code points."""
    if tokens.ndim == 1 and model.encoding["tokenizer"] == "chars":
        return text.numbered(tokens, model.encoding)
    last = model.form.vocabulary - 1
    strange = tokens[(tokens < 0) | (tokens > last)]
    if len(strange):
        raise DataError(f"tokens must be from 0 to {last}, as in training, but one is {strange[0]}")
    return tokens
