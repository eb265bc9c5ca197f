"""What a network takes over from another one, and which of it stays as it is."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import filter as matching
from typing import Any

import torch
from torch import Tensor, nn

from hypersweep import contract
from hypersweep.store import open_store
from hypersweep_trainer.options import Options

WEIGHTS, ABOUT = "weights.safetensors", "model.json"

Read = Callable[[str], bytes | None]  # a file of a model's folder by its name; None where there is none


def folder(url: str, env: Mapping[str, str]) -> Read:
    """The files of a model's folder: a path, file:/// or s3://; raises StoreError, and so may a read."""
    endpoint, region = (
        env.get(name) or None for name in (contract.ENV_STORE_ENDPOINT, contract.ENV_STORE_REGION)
    )
    return open_store(url, endpoint=endpoint, region=region).read


def pretrained(options: Options, network: nn.Module, read: Read, names: Sequence[str] = ()) -> list[str]:
    """Give a network the weights of a model's folder; returns which of its tensors start anew.

    The head starts anew where it has another size, or stands for other classes than `names`. Raises
    ValueError when there is no such model, or nothing of it fits.
    """
    weights, about = _model(options.pretrained, read)
    if names and about.get("names") and list(names) != list(about["names"]):
        weights = {name: weight for name, weight in weights.items() if not name.startswith("head.")}
    anew = adopt(network, weights)
    if {name for name, _ in network.named_parameters()} <= set(anew):
        other = about.get("resolved", {}).get("model", "other")
        raise ValueError(
            f"pretrained: a network like this one must be in {options.pretrained}, "
            f"but no weight of the {other} there has the name and shape of one of this {options.model}"
        )
    return anew


def _model(place: str, read: Read) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    weights, about = read(WEIGHTS), read(ABOUT)
    if weights is None or about is None:
        missing = WEIGHTS if weights is None else ABOUT
        raise ValueError(f"pretrained: a model must be in {place}, but {missing} is not there")
    try:
        return load(weights), dict(json.loads(about))
    except (SafetensorError, ValueError, TypeError) as error:
        raise ValueError(f"pretrained: a model must be in {place}, but it cannot be read: {error}") from None


@torch.no_grad()
def adopt(network: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Copy what has a network's name and shape; returns which of the network's tensors found nothing.

    What the network shares between two places counts once, under its first name.
    """
    anew = []
    for name, tensor in tensors(network).items():
        given = weights.get(name)
        if given is None or given.shape != tensor.shape:
            anew.append(name)
        else:
            tensor.copy_(given)
    return anew


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """A network's parameters and buffers by name; what two places share stands once, under its first name."""
    kept = network.state_dict(keep_vars=True)
    first = {id(tensor): name for name, tensor in reversed(kept.items())}
    return {name: tensor for name, tensor in kept.items() if first[id(tensor)] == name}


def freeze(network: nn.Module, patterns: Iterable[str]) -> list[str]:
    """Keep parameters as they are, and the running means of their norms; returns their names.

    Call it before DDP wraps the network: DDP waits for the gradients of what it then finds. Raises
    ValueError when a pattern names nothing, or all that could learn.
    """
    parameters = dict(network.named_parameters())
    frozen: set[str] = set()
    for pattern in patterns:
        named = matching(parameters, pattern)
        if not named:
            near = get_close_matches(pattern.strip("*"), parameters, 3, 0.3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"freeze: {pattern} must match a parameter's name, but matches none{hint}")
        frozen.update(named)
    if frozen.issuperset(parameters):
        raise ValueError(f"freeze: must leave something to learn, but {', '.join(patterns)} is all there is")
    for name in frozen:
        parameters[name].requires_grad_(False)
    for module in network.modules():
        learning = [parameter.requires_grad for parameter in module.parameters()]
        if hasattr(module, "running_mean") and learning and not any(learning):
            module.eval()
            module.__dict__["train"] = _stay
    return sorted(frozen)


def _stay(mode: bool = True) -> None:
    """What a frozen norm does when its network goes to training."""


def thaw(network: nn.Module) -> None:
    """Let everything learn; DDP and the optimizer must then be made anew."""
    network.requires_grad_(True)
    for module in network.modules():
        if module.__dict__.pop("train", None):
            module.train(network.training)
