"""A trained model as a folder: weights, and all that prediction needs to know.

`weights.safetensors` holds the network's tensors by name; `model.json` the resolved configuration, the form
of rows and outputs, the encoders, category maps, statistics and class names. Reading them runs no code.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hypersweep import contract
from hypersweep_trainer import model
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import Data
from hypersweep_trainer.data.scaling import Scaling
from hypersweep_trainer.form import Form
from hypersweep_trainer.model.transfer import ABOUT, WEIGHTS, Read, adopt, folder, tensors
from hypersweep_trainer.options import OPTIONS, Options

FORMAT = 1  # of the folder


@dataclass(frozen=True)
class Model:
    """A model as it was saved, ready to predict."""

    network: nn.Module  # in evaluation, without gradients
    options: Options
    form: Form
    scaling: Scaling  # of the target of a regression
    about: Mapping[str, Any]  # the whole of `model.json`
    device: torch.device

    @property
    def encoding(self) -> Mapping[str, Any]:
        """What `Data.encoding` was in training."""
        found: Mapping[str, Any] = self.about["encoding"]
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The classes by code; () where none are predicted."""
        return tuple(self.about["names"])


def files(config: Config, data: Data, network: nn.Module) -> dict[str, bytes]:
    """The folder's files by name."""
    from safetensors.torch import save

    about = {
        "format": FORMAT,
        "resolved": {**config.resolved, "seed": config.seed, "fraction": config.fraction},
        "form": asdict(data.form),
        "scaling": asdict(data.scaling),
        "encoding": data.encoding,
        "names": data.encoding.get("names", []),
        "digest": data.digest,
        "split": data.split_digest,
    }
    return {WEIGHTS: save(_distinct(network)), ABOUT: json.dumps(about, indent=1).encode()}


def _distinct(network: nn.Module) -> dict[str, Tensor]:
    """Each tensor once, under its first name: tied weights are tied again when the network is built."""
    return {
        # a copy each: tensors of a user's own network may share memory, which the file's format refuses
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors(network).items()
    }


def opened(url: str) -> Model:
    """The model in a folder or at an s3:// URL, on the GPU where there is one.

    Raises ValueError when there is no model of this version, and StoreError.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return load(folder(url, os.environ), device)
    except ValueError as error:
        raise ValueError(f"{url}: {error}") from error


def load(read: Read, device: torch.device) -> Model:
    """The model whose files `read` gives; raises ValueError when they are no model of this version's."""
    weights, about = _read(read)
    options = _options({**about["resolved"], "pretrained": ""})
    form = _form(about["form"])
    network = model.build(options, form)
    if missing := adopt(network, weights):
        raise ValueError(f"{WEIGHTS} must hold every tensor of the network, but not {', '.join(missing)}")
    network.eval().requires_grad_(False)
    return Model(network.to(device), options, form, Scaling(**about["scaling"]), about, device)


def _read(read: Read) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.torch import load as tensors

    weights, document = read(WEIGHTS), read(ABOUT)
    if weights is None or document is None:
        missing = ABOUT if document is None else WEIGHTS
        must = f"must hold a model ({WEIGHTS} and {ABOUT}) or a sweep that has one ({contract.BEST})"
        raise ValueError(f"{must}, but {missing} is not there")
    try:
        found, about = tensors(weights), dict(json.loads(document))
    except (SafetensorError, ValueError, TypeError) as error:
        raise ValueError(f"must hold a model, but it cannot be read: {error}") from None
    if about.get("format") != FORMAT:
        raise ValueError(f"format must be {FORMAT} in {ABOUT}, but is {about.get('format')}")
    return found, about


def _form(document: Mapping[str, Any]) -> Form:
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in document.items()}
    return Form(**values)


def _options(resolved: Mapping[str, Any]) -> Options:
    """Resolved values in their own types: JSON has no tuples."""
    return Options(
        **{name: OPTIONS[name].accept(value) for name, value in resolved.items() if name in OPTIONS}
    )
