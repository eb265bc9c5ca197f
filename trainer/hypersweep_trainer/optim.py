"""Optimizers, and learning rates as closed formulas of the step."""

import math
from collections.abc import Callable

import torch
from torch import nn

from hypersweep_trainer.options import Options


def optimizer(options: Options, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer over the trainable parameters; weight decay spares what has one dimension."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=options.lr, momentum=options.momentum, nesterov=options.nesterov, fused=True
        )
    return torch.optim.AdamW(
        groups, lr=options.lr, betas=(options.beta1, options.beta2), eps=options.eps, fused=True
    )


def schedule(options: Options, steps: int) -> Callable[[int], float]:
    """The learning rate of each of `steps` steps, counted from 0: a linear rise, then `options.schedule`.

    Reaches the peak at the last step of the warm-up and the end of the cosine (arXiv 1608.03983) at
    `steps`, one after the last.
    """
    peak, low, warmup = options.lr, options.lr * options.min_lr_ratio, round(options.warmup * steps)

    def rate(step: int) -> float:
        if step < warmup:
            return peak * (step + 1) / warmup
        if options.schedule == "constant":
            return peak
        return low + (peak - low) * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2

    return rate
