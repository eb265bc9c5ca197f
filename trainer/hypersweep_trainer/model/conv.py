"""Convolutional networks for images and sequences of any size."""

from collections.abc import Sequence

from torch import nn

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import layer
from hypersweep_trainer.model.embed import Tokens
from hypersweep_trainer.model.init import initialise
from hypersweep_trainer.model.network import Network
from hypersweep_trainer.model.spatial import Mean, Place, Pyramid, SqueezeExcitation
from hypersweep_trainer.options import Options

SMALLEST = 4  # points of a side that are still worth halving


def conv(options: Options, form: Form) -> Network:
    """Images (n, channels, height, width) or tokens (n, context) of any size -> (n, outputs).

    Each block halves the resolution, rounded up, as long as the smaller side of `form` has 4 points, and the
    next one then has twice the channels. Raises ValueError where the kernel is larger than that side.
    """
    images = len(form.shape) == 3
    channels, *sides = form.shape if images else (options.width, *form.shape)
    if options.kernel > min(sides):
        raise ValueError(
            f"kernel: must be at most {min(sides)}, the smaller side, but found {options.kernel}"
        )
    embed = nn.Identity() if images else Tokens(form.vocabulary, options.width)
    body, width = _body(options, channels, sides)
    network = Network(embed, body, nn.Linear(width, form.outputs), form)
    initialise(options, network)
    return network


def _body(options: Options, channels: int, sides: Sequence[int]) -> tuple[nn.Sequential, int]:
    """Blocks, pyramid and mean over the map; and how many channels come out."""
    dims, side, width = len(sides), min(sides), options.width
    parts: dict[str, nn.Module] = {}
    for number in range(options.depth):
        halves = options.downsample != "none" and side >= SMALLEST
        stride = 2 if halves and options.downsample == "stride" else 1
        parts[str(number)] = _block(options, number, channels, width, dims, stride)
        channels = width
        if halves:
            parts[f"pool{number}"] = _pool(options, dims)
            side, width = (side + 1) // 2, 2 * width
    if options.aspp_rates:
        parts[str(options.depth)] = Pyramid(options, channels, options.aspp_rates, dims)
    if options.norm_position == "pre":
        parts["norm"] = layer.norm(options, channels, "map", dims)
    return layer.sequence(**parts, mean=Mean()), channels


def _block(options: Options, number: int, n_in: int, n_out: int, dims: int, stride: int) -> nn.Module:
    radius = options.coordconv == "radius"
    places = 0 if options.coordconv == "off" else dims + radius
    wide = layer.doubled(options, n_out)
    weights = {
        "place": Place(radius) if places else nn.Identity(),
        "conv": layer.conv(options, n_in + places, wide, options.kernel, dims, stride, options.dilation),
    }
    squeeze = SqueezeExcitation(n_out, options.se_ratio) if options.se_ratio else nn.Identity()
    first = number == 0
    block = layer.unit(options, weights, n_in, n_out, dims=dims, first=first, after={"squeeze": squeeze})
    if not layer.skips(options, options.depth):
        return block
    skip = None if n_in == n_out and stride == 1 else layer.pointwise(n_in, n_out, dims, stride)
    p = options.stochastic_depth * (number + 1) / options.depth
    return layer.Residual(block, skip, p, options.zero_init_residual)


def _pool(options: Options, dims: int) -> nn.Module:
    match options.downsample:
        case "maxpool":
            return (nn.MaxPool2d if dims == 2 else nn.MaxPool1d)(2, ceil_mode=True)
        case "avgpool":
            return (nn.AvgPool2d if dims == 2 else nn.AvgPool1d)(2, ceil_mode=True, count_include_pad=False)
    return nn.Identity()  # the convolution itself strides
