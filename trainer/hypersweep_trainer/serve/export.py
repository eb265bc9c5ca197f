"""A trained model's network as a program that runs without this package."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hypersweep_trainer import saved
from hypersweep_trainer.saved import Model

ENDINGS = (".pt2", ".onnx")


def run(url: str, place: str) -> list[str]:
    """Write the network of the model at a URL as a program, and `model.json` beside it; the files' names.

    Raises ValueError, in one sentence, and StoreError.
    """
    path = Path(place)
    if path.suffix not in ENDINGS:
        raise ValueError(f"{place}: must end in {' or '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise ValueError(f"{place}: must lie in a folder, but {path.parent} is none")
    model = saved.opened(url)
    WRITERS[path.suffix](model, path)
    about = path.with_name(f"{path.name}.json")
    about.write_text(json.dumps(model.about, indent=1))
    return [str(path), str(about)]


def program(model: Model) -> torch.export.ExportedProgram:
    """The network for any number of rows: x as `Form` has it -> its outputs. Raises ValueError."""
    network = model.network.cpu()
    batch = torch.export.Dim("batch")
    try:
        return torch.export.export(network, (_example(model),), dynamic_shapes=({0: batch},))
    except Exception as error:  # whatever a network of somebody else's does that cannot be traced
        raise ValueError(f"{model.options.model}: cannot be exported: {_first(error)}") from error


def _example(model: Model) -> Tensor:
    """Two rows, since one may be taken for the only number of rows."""
    kind = torch.int64 if model.form.task == "sequence" else torch.float32
    return torch.zeros(2, *_shape(model), dtype=kind)


def _shape(model: Model) -> tuple[int, ...]:
    """Of a row in evaluation: images may be larger there than in training."""
    if model.form.task != "image":
        return model.form.shape
    return (model.form.shape[0], *model.encoding["test_size"])


def _pt2(model: Model, path: Path) -> None:
    torch.export.save(program(model), path)


def _onnx(model: Model, path: Path) -> None:
    made: Any = torch.onnx.export(program(model), (), dynamo=True, output_names=["output"], verbose=False)
    made.save(path)


WRITERS = {".pt2": _pt2, ".onnx": _onnx}


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
