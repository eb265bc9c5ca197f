"""Losses of classes: functions of logits (n, classes) and classes (n,)."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn import functional

from hypersweep_trainer.options import Options

Function = Callable[[Tensor, Tensor], Tensor]
Blended = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def function(options: Options, reduction: str) -> Function:
    """The loss of each row, (n,), for the reduction none, else the mean over rows, ()."""
    smoothing = options.label_smoothing
    match options.loss:
        case "bce":
            return partial(bce, smoothing=smoothing, threshold=options.bce_threshold, reduction=reduction)
        case "hinge":
            return partial(hinge, reduction=reduction)
        case "focal" if options.focal_gamma or options.focal_alpha:
            gamma, alpha = options.focal_gamma, options.focal_alpha
            return partial(focal, gamma=gamma, alpha=alpha, smoothing=smoothing, reduction=reduction)
    return partial(functional.cross_entropy, label_smoothing=smoothing, reduction=reduction)


def hinge(output: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """max(0, 1 - margin) of two classes, the margin being the class's score above the other's.

    Of more classes it is the sum over the others, divided by all (torch's MultiMarginLoss); for two that
    would be half of what is known as the hinge loss.
    """
    losses = functional.multi_margin_loss(output, y, reduction=reduction)
    return 2 * losses if output.shape[1] == 2 else losses


def focal(
    output: Tensor,
    y: Tensor,
    gamma: float,
    alpha: float = 0.0,
    smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """(1 - p)^gamma * -ln p of the class's probability p (arXiv 1708.02002).

    With an alpha it is weighed by 1 - alpha in the first class, the background, and by alpha in all others.
    Of `smoothing` all classes have an equal share: then it is the mean of their losses.
    """
    logs = functional.log_softmax(output, 1)
    losses = _focal(logs.gather(1, y[:, None]), gamma).squeeze(1)
    if alpha:
        losses = losses * _foreground(y, alpha)
    if smoothing:
        spread = _focal(logs, gamma)
        if alpha:
            spread = spread * _foreground(torch.arange(logs.shape[1], device=logs.device), alpha)
        losses = (1 - smoothing) * losses + smoothing * spread.mean(1)
    return losses.mean() if reduction == "mean" else losses


def _foreground(classes: Tensor, alpha: float) -> Tensor:
    """The weight of each class."""
    return 1 - alpha + (2 * alpha - 1) * (classes > 0)


def _focal(logs: Tensor, gamma: float) -> Tensor:
    # At p = 1 the slope of (1 - p)^gamma is infinite for a gamma below 1, and its gradient would be NaN.
    doubt = (-torch.expm1(logs)).clamp_min(torch.finfo(logs.dtype).tiny)
    return -logs * doubt**gamma


def bce(
    output: Tensor, y: Tensor, smoothing: float = 0.0, threshold: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Binary cross-entropy of each class against all others, the mean over classes; see `thresholded`."""
    return _against_others(output, _soft(output, y, smoothing), threshold, reduction)


def thresholded(options: Options, weight: Callable[[Tensor], Tensor] | None) -> Blended:
    """Binary cross-entropy where blended targets above the threshold count as 1 and others as 0.

    As timm's BinaryCrossEntropy: a blend of two classes is both. Weights of classes are blended.
    """
    smoothing, threshold = options.label_smoothing, options.bce_threshold

    def blended(output: Tensor, y: Tensor, other: Tensor, share: Tensor) -> Tensor:
        targets = torch.lerp(_soft(output, other, smoothing), _soft(output, y, smoothing), share[:, None])
        losses = _against_others(output, targets, threshold, "none")
        return losses if weight is None else losses * torch.lerp(weight(other), weight(y), share)

    return blended


def _soft(output: Tensor, y: Tensor, smoothing: float) -> Tensor:
    """Probabilities (n, classes) that sum to 1: the class's, mixed with equal ones for all."""
    low = smoothing / output.shape[1]
    return torch.full_like(output, low).scatter_(1, y[:, None], 1 - smoothing + low)


def _against_others(output: Tensor, targets: Tensor, threshold: float, reduction: str) -> Tensor:
    if threshold:
        targets = (targets > threshold).to(output.dtype)
    losses = functional.binary_cross_entropy_with_logits(output, targets, reduction=reduction)
    return losses.mean(1) if reduction == "none" else losses


def mixed(each: Function) -> Blended:
    """Of a blend of two classes: these losses are linear in a class's probability, so theirs are blended."""
    return lambda output, y, other, share: torch.lerp(each(output, other), each(output, y), share)


def balance(frequencies: Sequence[float]) -> list[float]:
    """Weights by which all classes count alike, 1 on average over the rows; a class without rows has none.

    n / (classes * rows of the class): King and Zeng 2001, and scikit-learn's `compute_class_weight`.
    """
    classes = sum(share > 0 for share in frequencies)
    return [1 / (classes * share) if share > 0 else 0.0 for share in frequencies]


def weight(frequencies: Sequence[float]) -> Callable[[Tensor], Tensor]:
    """Classes (n,) -> their balanced weights (n,)."""

    @cache
    def on(device: torch.device) -> Tensor:
        return torch.tensor(balance(frequencies), device=device)

    return lambda y: on(y.device)[y]


def weighed(each: Function, weight: Callable[[Tensor], Tensor]) -> Function:
    """Each row's loss times the weight of its class."""
    return lambda output, y: each(output, y) * weight(y)
