"""What an optimizer knows goes on after a stop and after a thaw, by our implementation."""

import copy
import io

import pytest
import torch

from hypersweep_trainer.optim import carry
from hypersweep_trainer.options.training import OPTIMIZERS
from tests.trainer.optimizers import Network, a_stepper, learn, weights


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_that_was_saved_goes_on_to_the_last_bit(name: str) -> None:
    network = Network()
    stepper = a_stepper(network, name)
    learn(network, stepper, 0.01, 3)
    saved = io.BytesIO()
    torch.save(stepper.state_dict(), saved)
    saved.seek(0)
    resumed = copy.deepcopy(network)
    later = a_stepper(resumed, name)
    later.load_state_dict(torch.load(saved, weights_only=True))
    learn(network, stepper, 0.01, 2)
    learn(resumed, later, 0.01, 2)

    for expected, found in zip(network.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(expected, found)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_implementation_is_ours_whatever_the_checkpoint_says(name: str) -> None:
    stepper = a_stepper(Network(), name)
    learn(Network(), stepper, 0.01)
    before = [{flag: group.get(flag) for flag in ("fused", "foreach")} for group in stepper.param_groups]
    state = stepper.state_dict()
    for group in state["param_groups"]:
        group |= {flag: not group[flag] for flag in ("fused", "foreach") if flag in group}
    stepper.load_state_dict(state)

    assert before == [
        {flag: group.get(flag) for flag in ("fused", "foreach")} for group in stepper.param_groups
    ]
    assert any(group["fused"] or group["foreach"] for group in before) or name == "muon"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_thawed_network_keeps_what_was_learned_of_its_gradients(name: str) -> None:
    network = Network()
    network.embed.requires_grad_(False)
    frozen = a_stepper(network, name)
    learn(network, frozen, 0.01, 5)
    alone = copy.deepcopy(network)
    undisturbed = a_stepper(alone, name)
    undisturbed.load_state_dict(copy.deepcopy(frozen.state_dict()))
    network.embed.requires_grad_(True)
    thawed = a_stepper(network, name)
    carry(frozen, thawed)
    before = weights(network)
    learn(network, thawed, 0.01)
    learn(alone, undisturbed, 0.01)

    for key, after in weights(network).items():
        if key == "embed.weight":
            assert not torch.equal(before[key], after)
        else:
            torch.testing.assert_close(weights(alone)[key], after)
