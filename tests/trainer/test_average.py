"""The running mean of the weights is the weighted mean of its definition, and evaluation alone sees it."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hypersweep_trainer.average import Average


def a_network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def train(network: nn.Module, step: int) -> list[Tensor]:
    """New weights in the tensors of the old ones, as after a training step."""
    rng = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return [parameter.detach().clone() for parameter in network.parameters()]


def test_it_is_the_mean_of_all_steps_with_decaying_shares() -> None:
    network = a_network()
    average = Average(0.8, network)
    seen = []
    for step in range(6):
        seen.append(train(network, step))
        average.update()
    shares = torch.tensor([0.8**age for age in range(5, -1, -1)])
    expected = [torch.stack(values, -1) @ shares / shares.sum() for values in zip(*seen, strict=True)]

    with average.applied():
        torch.testing.assert_close(expected, [p.detach() for p in network.parameters()])


def test_after_many_steps_it_agrees_with_torch() -> None:
    network = a_network()
    average = Average(0.7, network)
    reference = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.7))
    for step in range(60):
        train(network, step)
        average.update()
        reference.update_parameters(network)

    with average.applied():
        for expected, found in zip(reference.module.parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(expected, found)


def test_one_step_is_its_own_mean() -> None:
    network = a_network()
    average = Average(0.999, network)
    expected = train(network, 1)
    average.update()

    with average.applied():
        assert all(torch.equal(one, two) for one, two in zip(expected, network.parameters(), strict=True))


def test_the_network_has_its_own_weights_again_afterwards() -> None:
    network = a_network()
    average = Average(0.9, network)
    for step in range(3):
        before = train(network, step)
        average.update()
    places = [parameter.data_ptr() for parameter in network.parameters()]
    with average.applied():
        assert not torch.equal(before[0], network[0].weight)

    assert all(torch.equal(one, two) for one, two in zip(before, network.parameters(), strict=True))
    assert places == [parameter.data_ptr() for parameter in network.parameters()]


def test_running_means_of_norms_are_those_of_the_network() -> None:
    network = a_network()
    average = Average(0.9, network)
    network(torch.randn(10, 3))
    average.update()
    expected = network[1].running_mean.clone()

    with average.applied():
        assert torch.equal(expected, network[1].running_mean)


def test_it_goes_on_from_its_state() -> None:
    whole, parted = a_network(), a_network()
    averages = Average(0.9, whole), Average(0.9, parted)
    for step in range(3):
        for network, average in zip((whole, parted), averages, strict=True):
            train(network, step)
            average.update()
    resumed = a_network()
    later = Average(0.9, resumed)
    later.restore(averages[1].state())
    for network, average in ((whole, averages[0]), (resumed, later)):
        train(network, 3)
        average.update()

    with averages[0].applied(), later.applied():
        assert all(
            torch.equal(one, two) for one, two in zip(whole.parameters(), resumed.parameters(), strict=True)
        )
