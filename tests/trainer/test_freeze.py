"""Frozen layers stay until their epoch, whenever the run was stopped."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hypersweep_trainer.model import Network, pretrain
from tests.trainer.learning import OFF, same
from tests.trainer.runs import an_environment, curve, message, stop_after, train, weights


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("pretrained")
    train(an_environment(root, {**OFF, "norm": "batch", "split_seed": 1}))
    return f"{root}/attempts/0/model"


def test_frozen_layers_stay_and_move_from_their_epoch_on(tmp_path: Path, pretrained: str) -> None:
    options = {**OFF, "norm": "batch", "pretrained": pretrained, "freeze": ["body.*"], "lr": 1e-2}
    for epoch in (0, 3):
        train(an_environment(tmp_path / str(epoch), {**options, "unfreeze_epoch": epoch}))
    first = weights(Path(pretrained).parents[2])
    body = [name for name in first if name.startswith("body.")]
    frozen, thawed = weights(tmp_path / "0"), weights(tmp_path / "3")

    assert any("running_mean" in name for name in body)
    assert all(torch.equal(first[name], frozen[name]) for name in body)
    assert not any(torch.equal(first[name], thawed[name]) for name in body if "weight" in name)
    assert not torch.equal(first["head.weight"], frozen["head.weight"])
    assert curve(tmp_path / "0")[:2] == curve(tmp_path / "3")[:2]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lamb"])
@pytest.mark.parametrize("calls", [5, 9, 14, 18])
def test_a_stop_on_either_side_of_the_thaw_changes_nothing(
    calls: int, optimizer: str, tmp_path: Path, pretrained: str
) -> None:
    options = {
        **OFF, "norm": "batch", "pretrained": pretrained, "freeze": ["body.*"], "unfreeze_epoch": 2,
        "optimizer": optimizer,
    }  # fmt: skip
    train(an_environment(tmp_path / "whole", options))
    train(an_environment(tmp_path / "broken", options), stop_after(calls))
    train(an_environment(tmp_path / "broken", options, attempt=1))

    assert curve(tmp_path / "whole") == curve(tmp_path / "broken", 0, 1)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken", 1))


PROBE = {**OFF, "pretrain": "masked", "pretrain_epochs": 2, "norm": "batch", "freeze": ["body.*"], "lr": 1e-2}


def test_what_a_first_stage_has_learned_can_stay_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_on: list[dict[str, Tensor]] = []
    drawn: list[dict[str, Tensor]] = []

    def second(network: Network, before: Network) -> None:
        drawn.append({name: weight.clone() for name, weight in network.state_dict().items()})
        give(network, before)
        handed_on.append({name: weight.clone() for name, weight in network.state_dict().items()})

    give = pretrain.second
    monkeypatch.setattr(pretrain, "second", second)
    for epoch in (0, 2):
        train(an_environment(tmp_path / str(epoch), {**PROBE, "unfreeze_epoch": epoch}))
    frozen, thawed, before = weights(tmp_path / "0"), weights(tmp_path / "2"), handed_on[0]
    body = [name for name in before if name.startswith("body.")]

    assert any("running_mean" in name for name in body)
    assert not any(torch.equal(drawn[0][name], before[name]) for name in body if "weight" in name)
    assert all(torch.equal(before[name], frozen[name]) for name in body)
    assert not any(torch.equal(before[name], thawed[name]) for name in body if "weight" in name)
    assert not torch.equal(before["head.weight"], frozen["head.weight"])


@pytest.mark.parametrize("calls", [5, 24, 33, 42])
def test_a_stop_in_either_stage_of_a_probe_changes_nothing(calls: int, tmp_path: Path) -> None:
    train(an_environment(tmp_path / "whole", {**PROBE, "unfreeze_epoch": 2}))
    train(an_environment(tmp_path / "broken", {**PROBE, "unfreeze_epoch": 2}), stop_after(calls))
    train(an_environment(tmp_path / "broken", {**PROBE, "unfreeze_epoch": 2}, attempt=1))

    assert curve(tmp_path / "whole") == curve(tmp_path / "broken", 0, 1)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken", 1))


def test_a_head_that_no_stage_has_trained_is_not_frozen(tmp_path: Path) -> None:
    assert 78 == train(an_environment(tmp_path, {**PROBE, "freeze": ["head.*"]}))
    assert "freeze: head.* would keep first weights that nothing has trained, in head." in message(tmp_path)
