"""The gradient of every layer of our own is that of its formula, by finite differences."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.func import functional_call

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import build, layer
from hypersweep_trainer.model.activation import LecunTanh, Swish
from hypersweep_trainer.model.drop import ChannelDropout, DropLinear, StdDropout
from hypersweep_trainer.model.embed import OneHot, Tokens, Vectors
from hypersweep_trainer.model.network import blend
from hypersweep_trainer.model.norm import MapRMSNorm, TokenGroupNorm
from hypersweep_trainer.model.spatial import Mean, Place, Pyramid, SqueezeExcitation
from hypersweep_trainer.options import Options

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "swish": (Swish, (3, 4)),
    "lecun_tanh": (LecunTanh, (3, 4)),
    "glu": (lambda: layer.activation("glu", 1), (3, 4, 2)),
    "geglu": (lambda: layer.activation("geglu", 1), (3, 4, 2)),
    "swiglu": (lambda: layer.activation("swiglu", 1), (3, 4, 2)),
    "rms": (lambda: MapRMSNorm(4), (2, 4, 3)),
    "token_group": (lambda: TokenGroupNorm(2, 6), (2, 3, 6)),
    "std_dropout": (lambda: StdDropout(0.5), (3, 4)),
    "channel_dropout": (lambda: ChannelDropout(0.5), (3, 4, 2)),
    "stochastic_depth": (lambda: layer.StochasticDepth(0.5), (6, 4)),
    "residual": (lambda: layer.Residual(nn.Linear(4, 3), nn.Linear(4, 3), 0.5, zero=True), (6, 4)),
    "drop_linear": (lambda: DropLinear(4, 3, 0.5), (3, 4)),
    "transposed": (lambda: layer.Transposed(nn.Linear(3, 4), 0.5), (2, 4)),
    "conv1d": (lambda: layer.conv(Options(dropconnect=0.5), 2, 3, 4, dims=1, dilation=3), (2, 2, 9)),
    "conv2d": (lambda: layer.conv(Options(dropconnect=0.5), 2, 3, 2, stride=2), (2, 2, 4, 5)),
    "squeeze": (lambda: SqueezeExcitation(4, 2), (2, 4, 3)),
    "place": (lambda: Place(True), (2, 1, 3, 4)),
    "mean": (Mean, (2, 3, 2, 2)),
    "pyramid": (lambda: Pyramid(Options(norm="rms"), 2, (1, 2), 1), (2, 2, 5)),
    "one_hot": (lambda: OneHot(1, (3,)), (3, 2)),
    "vectors": (lambda: Vectors(0, (3, 4), 2), (3, 2)),
    "tokens": (lambda: Tokens(3, 2), (2, 4)),
    "range": (lambda: build(Options(width=3), BOUNDED), (2, 4)),
}
BOUNDED = Form("tabular", "regression", (4,), 1, bounds=(-1.0, 2.0))


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_of_a_layer_is_that_of_its_formula(name: str) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    part = make().double()
    codes = torch.randint(1, 3, shape) if name in ("vectors", "tokens") else None
    parameters = {key: value.detach().requires_grad_() for key, value in part.named_parameters()}
    rows = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def output(rows: Tensor, *values: Tensor) -> Tensor:
        torch.default_generator.manual_seed(3)  # equal masks in every evaluation
        named = dict(zip(parameters, values, strict=True))
        return functional_call(part, named, (rows if codes is None else codes,))

    if codes is not None:
        assert gradcheck(
            lambda *values: output(rows, *values), tuple(parameters.values()), rtol=1e-6, atol=1e-8
        )
        return
    assert gradcheck(output, (rows, *parameters.values()), rtol=1e-6, atol=1e-8)


def test_the_gradient_of_a_blend_is_that_of_its_formula() -> None:
    torch.manual_seed(0)
    rows, others = torch.randn(2, 3, 4, 2, dtype=torch.float64)
    share = torch.rand(3, dtype=torch.float64)

    assert gradcheck(blend, (rows.requires_grad_(), others.requires_grad_(), share.requires_grad_()))


def test_a_wrong_gradient_is_noticed() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x**2

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return gradient

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(Wrong.apply, (torch.randn(3, dtype=torch.float64, requires_grad=True),))
