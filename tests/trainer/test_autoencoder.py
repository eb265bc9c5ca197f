"""Networks that rebuild their input, with weights of their own or those of the encoder."""

import copy

import pytest
import torch
from torch import nn

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import Network, build
from hypersweep_trainer.options import Options, check
from tests.trainer.reach import size

IMAGE = Form("image", "classification", (1, 8, 8), 10)
REBUILT = Form("image", "reconstruction", (1, 8, 8), 64)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def linears(network: nn.Module) -> list[tuple[int, int]]:
    return [
        (part.in_features, part.out_features) for part in network.modules() if isinstance(part, nn.Linear)
    ]


def test_a_decoder_mirrors_the_encoder_and_gives_rows_of_the_inputs_shape() -> None:
    network = build(Options(hidden=(32, 8), norm="none"), REBUILT)

    assert [(64, 32), (32, 8), (8, 32), (32, 64)] == linears(network)
    assert (5, 1, 8, 8) == network(torch.randn(5, 1, 8, 8)).shape
    assert (5, 30) == build(Options(), Form("tabular", "reconstruction", (30,), 30))(torch.randn(5, 30)).shape


@pytest.mark.parametrize("position", ["pre", "post"])
def test_a_classifier_takes_over_the_encoder_of_an_autoencoder(position: str) -> None:
    options = Options(hidden=(32, 8, 8, 8), norm_position=position)
    encoder, classifier = build(options, REBUILT), build(options, IMAGE)
    missing, unexpected = classifier.body.load_state_dict(encoder.body.state_dict())
    rows = torch.randn(3, 1, 8, 8)

    assert not missing
    assert not unexpected
    assert torch.equal(encoder.body(encoder.embed(rows)), classifier.body(classifier.embed(rows)))


def tied(**options: object) -> Network:
    return build(Options(hidden=(32, 8), norm="none", tie_weights=True, **options), REBUILT)


def test_a_tied_decoder_uses_the_weights_of_the_encoder() -> None:
    network, free = tied(), build(Options(hidden=(32, 8), norm="none"), REBUILT)
    encoder = [network.body[0].linear, network.body[1].linear]
    decoder = [network.head.last, network.head.hidden[0].linear]

    assert [part.weight.data_ptr() for part in encoder] == [part.weight.data_ptr() for part in decoder]
    assert size(free) - size(network) == 64 * 32 + 32 * 8


def test_the_gradient_of_tied_weights_is_the_sum_of_both_uses() -> None:
    network, free = tied().double(), build(Options(hidden=(32, 8), norm="none"), REBUILT).double()
    free.body.load_state_dict(network.body.state_dict())
    with torch.no_grad():
        free.head.hidden[0].linear.weight.copy_(network.body[1].linear.weight.T)
        free.head.last.weight.copy_(network.body[0].linear.weight.T)
        free.head.hidden[0].linear.bias.zero_()
        free.head.last.bias.zero_()
    rows = torch.randn(7, 1, 8, 8, dtype=torch.float64)
    for model in (network, free):
        (model(rows) - rows).square().mean().backward()

    torch.testing.assert_close(
        network.body[0].linear.weight.grad, free.body[0].linear.weight.grad + free.head.last.weight.grad.T
    )
    torch.testing.assert_close(
        network.body[1].linear.weight.grad,
        free.body[1].linear.weight.grad + free.head.hidden[0].linear.weight.grad.T,
    )


def test_tied_weights_stay_tied_when_they_are_loaded_copied_and_wrapped() -> None:
    network = tied()
    network.load_state_dict({name: 2 * weight for name, weight in network.state_dict().items()})
    network = copy.deepcopy(network).to(torch.float64).float()
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(network)
        optimizer = torch.optim.SGD(wrapped.parameters(), 0.1)
        wrapped(torch.randn(4, 1, 8, 8)).square().sum().backward()
        optimizer.step()
    finally:
        torch.distributed.destroy_process_group()

    assert network.head.last.weight is network.body[0].linear.weight
    assert network.head.hidden[0].linear.weight is network.body[1].linear.weight


def test_weights_are_not_tied_where_that_makes_no_sense() -> None:
    (problem,) = check({"data": "digits", "tie_weights": True}, {})
    assert problem.startswith("tie_weights:")

    with pytest.raises(ValueError, match=r"^tie_weights: needs an activation without a gate, but found glu"):
        tied(activation="glu")
    with pytest.raises(
        ValueError, match=r"^tie_weights: needs an output for each of 64 inputs, but found 63"
    ):
        build(Options(tie_weights=True), Form("image", "reconstruction", (1, 8, 8), 63))
