"""Fully connected networks, and those that rebuild their input from the last hidden layer."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import layer
from hypersweep_trainer.model.embed import columns
from hypersweep_trainer.model.init import initialise
from hypersweep_trainer.model.network import Network
from hypersweep_trainer.options import Options


def mlp(options: Options, form: Form) -> Network:
    """Rows of any shape -> outputs, or the rows themselves: then `body` encodes, and `head` decodes.

    A decoder has the hidden layers in reverse order; with `tie_weights` it has no weights of its own, and
    ValueError says where that cannot be.
    """
    embed, size = columns(options, form)
    sizes = (size, *(options.hidden or (options.width,) * options.depth))
    weights = [layer.linear(options, n_in, layer.doubled(options, n_out)) for n_in, n_out in pairwise(sizes)]
    body = _stack(options, sizes, weights)
    head: nn.Module = nn.Linear(sizes[-1], form.outputs)
    if form.target == "reconstruction":
        head = _tied(options, form, sizes, weights) if options.tie_weights else _decoder(options, form, sizes)
    network = Network(embed, body, head, form)
    initialise(options, network)
    return network


def _stack(options: Options, sizes: Sequence[int], weights: Sequence[nn.Module]) -> nn.Sequential:
    """A block from each size to the next; what comes out is normed where layers norm their input."""
    count = len(weights)
    blocks: dict[str, nn.Module] = {}
    for number, (n_in, n_out) in enumerate(pairwise(sizes)):
        block = layer.unit(options, {"linear": weights[number]}, n_in, n_out, first=number == 0)
        if layer.skips(options, count):
            skip = None if n_in == n_out else nn.Linear(n_in, n_out)
            p = options.stochastic_depth * (number + 1) / count
            blocks[str(number)] = layer.Residual(block, skip, p, options.zero_init_residual)
        else:
            blocks[str(number)] = block
    if count and options.norm_position == "pre":
        blocks["norm"] = layer.norm(options, sizes[-1], "flat")
    return layer.sequence(**blocks)


def _decoder(options: Options, form: Form, sizes: Sequence[int]) -> nn.Sequential:
    back = sizes[:0:-1]
    weights = [layer.linear(options, n_in, layer.doubled(options, n_out)) for n_in, n_out in pairwise(back)]
    return layer.sequence(hidden=_stack(options, back, weights), last=nn.Linear(back[-1], form.outputs))


def _tied(options: Options, form: Form, sizes: Sequence[int], weights: Sequence[nn.Linear]) -> nn.Sequential:
    if layer.gated(options.activation):
        raise ValueError(f"tie_weights: needs an activation without a gate, but found {options.activation}")
    if form.outputs != sizes[0]:
        raise ValueError(
            f"tie_weights: needs an output for each of {sizes[0]} inputs, but found {form.outputs}"
        )
    first, *others = weights
    hidden = [layer.Transposed(source, options.dropconnect) for source in reversed(others)]
    return layer.sequence(hidden=_stack(options, sizes[:0:-1], hidden), last=layer.Transposed(first))
