"""First weights, drawn from torch's default generator."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import init

from hypersweep_trainer.model.layer import Residual, Transposed
from hypersweep_trainer.model.network import Network
from hypersweep_trainer.options import Options

SMALL = 0.02  # deviation as of BERT's weights (arXiv 1810.04805); `trunc_normal` cuts off what is beyond two
HEAD = 0.1  # gain of `auto`: first outputs so near to 0 that the first loss is that of a guess

Scheme = Callable[[Tensor, float], object]  # of a weight (out, in, …) and a gain


def _lecun(weight: Tensor, gain: float) -> Tensor:
    """Normal with variance 1/fan_in (LeCun et al. 1998, Efficient BackProp, 4.6)."""
    return init.kaiming_normal_(weight, nonlinearity="linear").mul_(gain)


SCHEMES: Mapping[str, Scheme] = {
    "xavier_uniform": init.xavier_uniform_,
    "xavier_normal": init.xavier_normal_,
    "kaiming_uniform": lambda weight, gain: init.kaiming_uniform_(weight, nonlinearity="relu").mul_(gain),
    "kaiming_normal": lambda weight, gain: init.kaiming_normal_(weight, nonlinearity="relu").mul_(gain),
    "orthogonal": init.orthogonal_,
    "trunc_normal": lambda weight, gain: init.trunc_normal_(weight).mul_(SMALL * gain),
    "lecun": _lecun,
}
FITTING: Mapping[str, str] = {  # what `auto` means where it is not Kaiming's
    "tanh": "xavier_normal", "sigmoid": "xavier_normal",
    "lecun_tanh": "lecun", "selu": "lecun", "glu": "lecun", "geglu": "lecun", "swiglu": "lecun",
}  # fmt: skip


@torch.no_grad()
def initialise(options: Options, network: Network) -> None:
    """Draw the weights of Linear and Conv layers as `options.init` says, and start their biases at 0.

    torch_default leaves the network as torch made it. `auto` goes by the nonlinearity, and starts the last
    layer near 0. Vectors of an Embedding are normal with deviation 1; all scale with `init_gain`.
    """
    if options.init == "torch_default":
        return
    automatic = options.init == "auto"
    scheme = SCHEMES[FITTING.get(options.activation, "kaiming_normal") if automatic else options.init]
    for layer in _weighed(network):
        scheme(layer.weight, options.init_gain)
        if layer.bias is not None:
            init.zeros_(layer.bias)
    for table in (module for module in network.modules() if isinstance(module, nn.Embedding)):
        init.normal_(table.weight, 0.0, options.init_gain)
        if table.padding_idx is not None:
            init.zeros_(table.weight[table.padding_idx])
    if automatic:
        _calm(options, network)


def _calm(options: Options, network: Network) -> None:
    """Make first outputs small, and L branches that nothing norms, too: (1 + 1/L)^L is below e."""
    *_, last = (module for module in network.head.modules() if isinstance(module, nn.Linear | Transposed))
    if isinstance(last, nn.Linear):
        _lecun(last.weight, HEAD * options.init_gain)
    branches = [block.inner for block in network.modules() if isinstance(block, Residual)]
    for layer in _weighed(nn.ModuleList(branches)) if options.norm == "none" else ():
        layer.weight.div_(len(branches))


def _weighed(module: nn.Module) -> Iterator[nn.Linear | nn.Conv1d | nn.Conv2d]:
    return (layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d))
