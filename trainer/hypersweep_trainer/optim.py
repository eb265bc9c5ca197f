"""Optimizers by name, over groups of parameters that share a learning rate and a weight decay."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adadelta, Adagrad, Adam, Adamax, NAdam, Optimizer, RAdam, RMSprop, Rprop

from hypersweep_trainer.adamw import AdamW
from hypersweep_trainer.options import Options

Group = dict[str, Any]
Named = Iterable[tuple[str, nn.Parameter]]

FUSED = {"sgd", "adam", "amsgrad", "adamw"}  # torch has fused kernels for them on CPU and CUDA
FLAGS = ("fused", "foreach")


def optimizer(options: Options, network: nn.Module, levels: Mapping[str, int]) -> Optimizer:
    """The optimizer of the parameters that learn; each group's `scale` is its factor of the scheduled rate.

    Weight decay is decoupled from the gradient (arXiv 1711.05101) in adamw, lion and muon, a part of the
    step that lamb scales, and added to the gradient in the others; rprop has none. Raises ValueError where
    there is nothing for muon to do.
    """
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    if options.optimizer == "muon":
        made = _muon(options, named, levels, network)
    else:
        made = _rule(options, groups(options, named, levels))
    if not isinstance(made, AdamW):
        made.register_load_state_dict_pre_hook(_with_own_flags)
    return made


def groups(options: Options, named: Named, levels: Mapping[str, int]) -> list[Group]:
    """As few groups as hold together what has one weight decay and one scale."""
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        key = (decay(options, parameter), scale(options, name, levels))
        found.setdefault(key, []).append(parameter)
    rate = float(options.lr)
    return [
        {"params": members, "weight_decay": decay, "scale": scale, "lr": rate}
        for (decay, scale), members in found.items()
    ]


def decay(options: Options, parameter: nn.Parameter) -> float:
    """The weight decay of a parameter; biases and norms, which have one dimension, are spared by default."""
    return options.weight_decay if parameter.ndim > 1 or options.decay_bias_norm else 0.0


def scale(options: Options, name: str, levels: Mapping[str, int]) -> float:
    """The factor of a parameter's learning rate: d^(L - l) at level l of L, the head's own factor at L."""
    if options.layer_lr_decay == options.head_lr_mult == 1:
        return 1.0
    below = max(levels.values()) - levels[name]
    return float(options.layer_lr_decay**below if below else options.head_lr_mult)


def carry(old: Optimizer, new: Optimizer) -> None:
    """Let a new optimizer of more parameters go on with what the old one has learned of their gradients."""
    new.state.update(old.state)
    for group in new.param_groups:
        if "step" in old.param_groups[0]:  # LAMB counts steps by group
            group["step"] = old.param_groups[0]["step"].clone()
        if isinstance(new, SGD) and group["momentum"]:  # its fused kernel wants all momenta or none
            for parameter in group["params"]:
                new.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))


def _rule(options: Options, groups: list[Group]) -> Optimizer:
    betas, eps, how = (options.beta1, options.beta2), options.eps, implementation(options.optimizer, groups)
    match options.optimizer:
        case "sgd":
            return SGD(groups, momentum=options.momentum, nesterov=options.nesterov, **how)
        case "rmsprop":
            return RMSprop(groups, alpha=options.rho, eps=eps, momentum=options.momentum, **how)
        case "rprop":
            return Rprop(groups, **how)
        case "adagrad":
            return Adagrad(groups, eps=eps, **how)
        case "adadelta":
            return Adadelta(groups, rho=options.rho, eps=eps, **how)
        case "adam" | "amsgrad":
            return Adam(groups, betas=betas, eps=eps, amsgrad=options.optimizer == "amsgrad", **how)
        case "adamax":
            return Adamax(groups, betas=betas, eps=eps, **how)
        case "nadam":
            return NAdam(groups, betas=betas, eps=eps, **how)
        case "radam":
            return RAdam(groups, betas=betas, eps=eps, **how)
        case "lamb":
            from timm.optim.lamb import Lamb

            # As in the paper: no clipping of its own, and a trust ratio for weights without decay, too.
            return Lamb(groups, betas=betas, eps=eps, max_grad_norm=None, always_adapt=True, **how)
        case "lion":
            from timm.optim.lion import Lion

            return Lion(groups, betas=betas, **how)
    if options.precision == "fp16":  # it takes the scale of gradients into account without waiting for them
        return torch.optim.AdamW(groups, betas=betas, eps=eps, **how)
    return AdamW(groups, betas, eps)


def implementation(name: str, groups: list[Group]) -> dict[str, Any]:
    """The fastest that torch has for these parameters: one kernel for a step, else one for each operation."""
    device = groups[0]["params"][0].device.type
    fused = name in FUSED or (name, device) == ("adagrad", "cpu")  # on CUDA it has one only in newer torch
    return {"fused": True} if fused else {"foreach": True}


def _muon(options: Options, named: Named, levels: Mapping[str, int], network: nn.Module) -> Optimizer:
    from hypersweep_trainer.muon import Muon, hidden

    matrices = hidden(network, levels)
    ours = groups(options, [(name, p) for name, p in named if name in matrices], levels)
    rest = groups(options, [(name, p) for name, p in named if name not in matrices], levels)
    if not ours:
        raise ValueError("optimizer: muon needs matrices of hidden layers that learn, but there are none")
    return Muon(options, ours, rest)


def _with_own_flags(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint may come from another device: what implementation to use is not for it to say."""
    pairs = zip(state["param_groups"], optimizer.param_groups, strict=True)
    kept = [{**saved, **{flag: own[flag] for flag in FLAGS if flag in own}} for saved, own in pairs]
    return {**state, "param_groups": kept}
