"""Which layer a parameter belongs to, for learning rates that fall from the head down."""

import re
from types import SimpleNamespace
from typing import Any

from hypersweep_trainer.model.library import timm
from hypersweep_trainer.model.network import Network


def levels(network: Network) -> dict[str, int]:
    """Level of each parameter: 0 is the embedding, 1 to L are the blocks, the highest one is the head.

    A network of timm is grouped as `timm.optim.param_groups_layer_decay` groups it.
    """
    if hasattr(network.body, "pretrained_cfg"):  # all of timm's networks have it, and no others
        return _of_timm(network)
    numbers: dict[str, int] = {}  # of the blocks, by the part of the name that tells them apart
    found: dict[str, int] = {}
    for name, _ in network.named_parameters():
        block = re.match(r"body\.(\D+\.)?\d+\.", name)
        if block:
            numbers.setdefault(block[0], len(numbers) + 1)
        found[name] = 0 if name.startswith("embed.") else numbers[block[0]] if block else len(numbers)
    return {name: len(numbers) + 1 if name.startswith("head.") else level for name, level in found.items()}


def _of_timm(network: Network) -> dict[str, int]:
    body: Any = network.body
    ours = [name for name, _ in network.named_parameters()]
    whole = SimpleNamespace(  # the network under the names that timm knows
        pretrained_cfg=body.pretrained_cfg,
        named_parameters=lambda: ((_named(name, body.pretrained_cfg["classifier"]), None) for name in ours),
    )
    known: dict[str, int] = (
        timm("models").group_parameters(whole, body.group_matcher(coarse=False), reverse=True)
        if hasattr(body, "group_matcher")
        else timm("optim").auto_group_layers(whole)
    )
    return {name: known[_named(name, body.pretrained_cfg["classifier"])] for name in ours}


def _named(name: str, classifier: str) -> str:
    part, _, rest = name.partition(".")
    return rest if part == "body" else f"{classifier}.{rest}"
