"""What a network takes over from another one, and which of it stays as it is."""

import json
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from fnmatch import filter as matching
from typing import Any

import torch
from torch import Tensor, nn

from hypersweep import contract
from hypersweep.store import open_store
from hypersweep_trainer.form import Form
from hypersweep_trainer.model import meaning
from hypersweep_trainer.model.meaning import short
from hypersweep_trainer.model.network import Network
from hypersweep_trainer.options import Options

WEIGHTS, ABOUT = "weights.safetensors", "model.json"

Read = Callable[[str], bytes | None]  # a file of a model's folder by its name; None where there is none
Say = Callable[[str], None]  # a line for people


def folder(url: str, env: Mapping[str, str]) -> Read:
    """The files of a model's folder: a path, file:/// or s3://; raises StoreError, and so may a read."""
    endpoint, region = (
        env.get(name) or None for name in (contract.ENV_STORE_ENDPOINT, contract.ENV_STORE_REGION)
    )
    return open_store(url, endpoint=endpoint, region=region).read


def pretrained(
    options: Options, network: Network, read: Read, form: Form, encoding: Mapping[str, Any], say: Say
) -> dict[str, str]:
    """Give a network the weights of a model's folder; returns which of its tensors start anew, and why.

    Columns, categories, tokens and classes are matched by name, whatever their places; tensors of which a
    part finds nothing start anew in that part, and are returned, too. `say` is told of them. Raises
    ValueError when there is no such model, or nothing of it fits but the head.
    """
    weights, about = _model(options.pretrained, read)
    given, anew = _matched(network, weights, form, encoding, about)
    whole = adopt(network, given)
    last = answering(network)
    layers = [name for name, weight in network.named_parameters() if weight.dim() > 1]
    if set(whole).issuperset([name for name in layers if not name.startswith(last)] or layers):
        raise ValueError(
            f"pretrained: a network like this one must be in {options.pretrained}, but no weight of the "
            f"{about['resolved']['model']} there fits one of this {options.model} outside the head: "
            f"{listed(anew)}"
        )
    if anew:
        say(f"pretrained: starts anew: {listed(anew)}")
    return anew


def replaced(network: Network, form: Form, say: Say) -> dict[str, str]:
    """Which tensors of a network that timm has trained start anew, since it answers something else."""
    about: Any = network.body.pretrained_cfg
    if about["num_classes"] == form.outputs:
        return {}
    last = answering(network)
    anew = {name: "other classes" for name in tensors(network) if name.startswith(last)}
    say(f"pretrained: starts anew: {listed(anew)}")
    return anew


def answering(network: Network) -> tuple[str, ...]:
    """How the names of the layers begin that answer; a network of timm may have several."""
    paths = getattr(network.body, "pretrained_cfg", {}).get("classifier") or ()
    return "head.", *(f"body.{path}." for path in ((paths,) if isinstance(paths, str) else paths))


def _matched(
    network: Network,
    weights: Mapping[str, Tensor],
    form: Form,
    encoding: Mapping[str, Any],
    about: Mapping[str, Any],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What other weights have for a network's tensors, by name; and which start anew, and why."""
    own, last = tensors(network), answering(network)
    here = meaning.bound(own, asdict(form), encoding, last)
    there = meaning.bound(weights, about["form"], about["encoding"], last)
    vector = there.get("embed.vector.weight")
    if vector is not None and about["form"]["target"] == "tokens":  # tied weights are stored once, for both
        there.setdefault("head.weight", vector)
    given: dict[str, Tensor] = {}
    anew: dict[str, str] = {}
    for name, one in here.items():
        if name not in there:
            anew[one.name] = "not there"
            continue
        found, why = meaning.laid(own[one.name], one, weights[there[name].name], there[name])
        if found is not None:
            given[one.name] = found
        if why:
            anew[one.name] = why
    return given, anew


def listed(anew: Mapping[str, str]) -> str:
    """Tensors by the reason why they start anew."""
    groups: dict[str, list[str]] = {}
    for name, why in anew.items():
        groups.setdefault(why, []).append(name)
    return short([f"{short(names)} ({why})" for why, names in groups.items()], "; ")


def _model(place: str, read: Read) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    weights, about = read(WEIGHTS), read(ABOUT)
    if weights is None or about is None:
        missing = WEIGHTS if weights is None else ABOUT
        raise ValueError(f"pretrained: a model must be in {place}, but {missing} is not there")
    try:
        found, document = load(weights), dict(json.loads(about))
    except (SafetensorError, ValueError, TypeError) as error:
        raise ValueError(f"pretrained: a model must be in {place}, but it cannot be read: {error}") from None
    if lacking := sorted({"resolved", "form", "encoding"} - document.keys()):
        raise ValueError(f"pretrained: a model must be in {place}, but {ABOUT} has no {', '.join(lacking)}")
    return found, document


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


def freeze(network: nn.Module, patterns: Iterable[str], anew: Container[str] = ()) -> list[str]:
    """Keep parameters as they are, and the running means of their norms; returns their names.

    Call it before DDP wraps the network: DDP waits for the gradients of what it then finds. Raises
    ValueError when a pattern names nothing, what starts `anew`, or all that could learn.
    """
    parameters = dict(network.named_parameters())
    frozen: set[str] = set()
    for pattern in patterns:
        named = matching(parameters, pattern)
        if not named:
            near = get_close_matches(pattern.strip("*"), parameters, 3, 0.3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"freeze: {pattern} must match a parameter's name, but matches none{hint}")
        if fresh := [name for name in named if name in anew]:
            raise ValueError(
                f"freeze: {pattern} would keep first weights that nothing has trained, in {short(fresh)}"
            )
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
