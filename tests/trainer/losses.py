"""Builders of losses, and of batches for them."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hypersweep_trainer import loss
from hypersweep_trainer.form import Form
from hypersweep_trainer.options import Options

CLASSES, CONTEXT = 10, 7


def a_form(target: str = "classification", outputs: int = CLASSES) -> Form:
    shapes = {"tokens": (CONTEXT,), "reconstruction": (2, 4, 4)}
    task = {"tokens": "sequence", "regression": "tabular"}.get(target, "image")
    return Form(task, target, shapes.get(target, (5,)), 1 if target == "regression" else outputs)


def a_loss(
    target: str = "classification",
    *,
    classes: int = CLASSES,
    frequencies: list[float] | None = None,
    **options: Any,
) -> loss.Loss:
    usual = "cross_entropy" if target in ("classification", "tokens") else "mse"
    return loss.build(Options(**{"loss": usual, **options}), a_form(target, classes), frequencies or [])


def a_batch(target: str, rows: int = 12, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, targets, and other targets of the same rows."""
    rng = torch.Generator().manual_seed(seed)
    if target in ("classification", "tokens"):
        shape = (rows,) if target == "classification" else (rows, CONTEXT)
        output = 3 * torch.randn(*shape, CLASSES, generator=rng)
        y, other = (torch.randint(0, CLASSES, shape, generator=rng) for _ in range(2))
        return output, y, other
    shape = (rows,) if target == "regression" else (rows, *a_form(target).shape)
    output, y, other = (torch.randn(shape, generator=rng) for _ in range(3))
    return (output.unsqueeze(1) if target == "regression" else output), y, other


def soft(y: Tensor, weight: Tensor, smoothing: float) -> Tensor:
    """What timm's MixUp makes of classes."""
    return weight[:, None] * ((1 - smoothing) * functional.one_hot(y, CLASSES).float() + smoothing / CLASSES)
