"""Networks from elsewhere: one of timm's by name, or the user's own by import path."""

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from operator import attrgetter
from typing import Any, cast

import torch
from torch import Tensor, nn

from hypersweep_trainer.form import Form
from hypersweep_trainer.model.network import Network
from hypersweep_trainer.options import Options


def library(options: Options, form: Form) -> Network:
    """The network that `model` names; raises ValueError when there is none that maps rows to outputs."""
    if options.model.startswith("timm:"):
        body = _of_timm(options, form)
        head = _classifier(body)
    else:
        body = _imported(options, form)
        head = nn.Flatten() if form.target == "reconstruction" else nn.Identity()
    network = Network(nn.Identity(), body, head, form)
    _probe(options, network, form)
    return network


def _of_timm(options: Options, form: Form) -> nn.Module:
    about = _about(options.model)
    if options.pretrained == "true" and not (about.get("url") or about.get("hf_hub_id")):
        raise ValueError(f"pretrained: timm must have weights of {options.model}, but has none")
    sizes = {"img_size": form.shape[1:]} if about.get("fixed_input_size") else {}
    rates = {"drop_rate": options.dropout, "drop_path_rate": options.stochastic_depth}
    while True:
        try:
            network: nn.Module = timm("models").create_model(
                options.model.removeprefix("timm:"),
                pretrained=options.pretrained == "true",
                num_classes=form.outputs,
                in_chans=form.shape[0],
                **sizes,
                **rates,
            )
            return network
        except TypeError as error:  # not every network takes every rate
            refused = next((rate for rate in rates if rate in str(error)), "")
            if not refused:
                raise
            if rates.pop(refused):
                option = "dropout" if refused == "drop_rate" else "stochastic_depth"
                raise ValueError(f"{option}: must be 0 with {options.model}, which has none") from None


def statistics(model: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel, of colours from 0 to 1, that timm's weights were trained on."""
    found = timm("data").resolve_data_config(pretrained_cfg=_about(model))
    return tuple(found["mean"]), tuple(found["std"])


def timm(part: str) -> Any:
    """A part of timm, which takes a second to import and hides half of its types."""
    return import_module(f"timm.{part}")


def _about(model: str) -> dict[str, Any]:
    """What timm knows of a network, and of the weights that its name asks for."""
    models, name = timm("models"), model.removeprefix("timm:")
    kind = name.partition(".")[0]  # what follows the point is the name of weights
    if not models.is_model(kind):
        raise ValueError(f"model: timm must know {name}, but does not{_near(kind, models.list_models())}")
    try:
        known = models.get_pretrained_cfg(name)
    except RuntimeError:
        weights = _near(name, models.list_pretrained(f"{kind}.*"))
        raise ValueError(f"model: timm must know weights {name}, but does not{weights}") from None
    return {} if known is None else dict(known.to_dict())


def _classifier(body: nn.Module) -> nn.Module:
    """Take the last layer out of a network of timm, where it has a single one; otherwise nothing."""
    path = cast(Any, body).pretrained_cfg["classifier"]  # a tuple where it has several
    if not isinstance(path, str) or not isinstance(body.get_submodule(path), nn.Linear):
        return nn.Identity()
    head = body.get_submodule(path)
    body.set_submodule(path, nn.Identity())
    return head


def _imported(options: Options, form: Form) -> nn.Module:
    """What the function or class behind `module:attribute` returns.

    It is given those of `form`, `shape`, `outputs` and `options` that its parameters name.
    """
    make = _attribute(options.model)
    given = {"form": form, "shape": form.shape, "outputs": form.outputs, "options": options}
    network = make(**_arguments(options.model, make, given))
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"model: {options.model} must return a torch.nn.Module, but returned a {type(network).__name__}"
        )
    return network


def _attribute(path: str) -> Callable[..., Any]:
    place, _, attribute = path.partition(":")
    try:
        module = import_module(place)
    except ImportError as error:
        raise ValueError(f"model: {path} must be importable, but: {error}") from error
    try:
        found = attrgetter(attribute)(module)
    except AttributeError:
        near = _near(attribute, dir(module))
        raise ValueError(f"model: {path} must name something in {place}, but does not{near}") from None
    if not callable(found):
        raise ValueError(f"model: {path} must be a function or class, but is a {type(found).__name__}")
    return cast(Callable[..., Any], found)


def _arguments(path: str, make: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(make).parameters.values()
    needed = {
        p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    if strange := sorted(needed - given.keys()):
        raise ValueError(
            f"model: {path} must take no parameters but {', '.join(given)}, but needs {', '.join(strange)}"
        )
    return {p.name: given[p.name] for p in parameters if p.name in given}


@torch.no_grad()
def _probe(options: Options, network: nn.Module, form: Form) -> None:
    """Raises ValueError when two rows of zeros do not give outputs of the right shape, at either size."""
    network.eval()
    _fits(options.model, network, form, form.shape)
    if form.task == "image" and options.test_size:
        _fits(options.model, network, form, (form.shape[0], options.test_size, options.test_size))
    network.train()


def _fits(path: str, network: nn.Module, form: Form, shape: tuple[int, ...]) -> None:
    rows = torch.zeros(2, *shape, dtype=torch.int64 if form.task == "sequence" else torch.float32)
    outputs = {"tokens": (*shape, form.outputs), "reconstruction": shape}.get(form.target, (form.outputs,))
    try:
        found = network(rows)
    except Exception as error:
        raise ValueError(
            f"model: {path} must take rows of shape {shape}, but: {type(error).__name__}: {error}"
        ) from error
    given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if given != (2, *outputs):
        raise ValueError(
            f"model: {path} must give outputs of shape {(2, *outputs)} for 2 rows, but gives {given}"
        )


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
