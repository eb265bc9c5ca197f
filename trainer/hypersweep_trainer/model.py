"""The networks: fully connected layers and a small convolutional net, both ending in bare linear outputs."""

import math
from collections.abc import Callable, Mapping

from torch import nn

from hypersweep_trainer.options import Options

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
}


def build(options: Options, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The network of a configuration for rows of `shape`: (n, *shape) -> (n, outputs)."""
    return (cnn if options.model == "cnn" else mlp)(options, shape, outputs)


def mlp(options: Options, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Linear, norm, nonlinearity, dropout for each hidden layer."""
    layers: list[nn.Module] = [nn.Flatten()]
    size = math.prod(shape)
    for width in options.hidden or (options.width,) * options.depth:
        layers += [nn.Linear(size, width), *_norm(options, width, flat=True), *_activation(options)]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, outputs))


def cnn(options: Options, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Blocks of a 3×3 convolution, each of which halves a large enough image and doubles the channels."""
    layers: list[nn.Module] = []
    (channels, height, width), wanted = shape, options.width
    for _ in range(options.depth):
        layers += [nn.Conv2d(channels, wanted, 3, padding=1), *_norm(options, wanted, flat=False)]
        layers += _activation(options)
        channels = wanted
        if min(height, width) >= 4:
            layers.append(nn.MaxPool2d(2))
            height, width, wanted = height // 2, width // 2, 2 * wanted
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, outputs))


def _norm(options: Options, channels: int, *, flat: bool) -> list[nn.Module]:
    match options.norm:
        case "batch":
            return [nn.BatchNorm1d(channels) if flat else nn.BatchNorm2d(channels)]
        case "layer":
            return [nn.LayerNorm(channels) if flat else nn.GroupNorm(1, channels)]
    return []


def _activation(options: Options) -> list[nn.Module]:
    dropout = [nn.Dropout(options.dropout)] if options.dropout else []
    return [ACTIVATIONS[options.activation](), *dropout]
