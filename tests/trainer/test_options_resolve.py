"""One configuration: what nobody set follows from what is set, and what has no effect is left out."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from hypersweep_trainer.options import DATASETS, OPTIONS, PRESETS, resolve
from hypersweep_trainer.options.branch import Branch
from hypersweep_trainer.options.facts import TARGETS

SOURCES = (*DATASETS, "a.csv", "a.npz", "photos/", "a.txt", "module:data")
MODELS = ("", "mlp", "cnn", "transformer", "timm:resnet18", "module:net")


def configurations() -> Iterator[dict[str, Any]]:
    """Every kind of data, network and target, with every preset."""
    for data, model, target, preset in product(SOURCES, MODELS, ("", *TARGETS), PRESETS):
        chosen = {"data": data, "model": model, "target": target, "preset": preset}
        yield {name: value for name, value in chosen.items() if value}


def test_whatever_resolves_has_defaults_that_are_possible_there() -> None:
    found = 0
    for fixed in configurations():
        try:
            resolved = resolve(fixed)
        except ValueError:
            continue
        found += 1
        for name, value in resolved.items():
            option = OPTIONS[name]
            wanted = option.value_needs.get(value, {}) if isinstance(value, str) else {}
            assert value == option.accept(value)
            assert Branch(fixed).met(wanted), f"{name}: {value} with {fixed}"

    assert found > 500


def test_a_resolved_configuration_resolves_to_itself() -> None:
    for fixed in ({}, {"data": "iris"}, {"data": "markov"}, {"model": "cnn", "optimizer": "sgd"}):
        resolved = resolve(fixed)

        assert resolved == resolve(resolved)


def test_a_resolved_configuration_leaves_out_what_has_no_effect() -> None:
    resolved = resolve({"epochs": 3, "beta1": 0.8}, {"optimizer": "sgd", "lr": 1})

    assert {"epochs": 3, "optimizer": "sgd", "lr": 1.0, "momentum": 0.9} == {
        name: resolved[name] for name in ("epochs", "optimizer", "lr", "momentum")
    }
    assert not {"beta1", "beta2", "eps"} & set(resolved)


def test_defaults_follow_the_choices_that_they_depend_on() -> None:
    assert [1e-3, 0.1] == [resolve({"optimizer": name})["lr"] for name in ("adamw", "sgd")]
    assert 1e-3 == resolve({"model": "transformer"})["lr"]
    assert [3e-3, 1e-3] == [resolve({"data": "wine", "optimizer": name})["lr"] for name in ("adamw", "adam")]
    assert [1.0, 0.01] == [resolve({"data": name})["weight_decay"] for name in ("wine", "diabetes")]
    assert resolve({"model": "cnn"})["width"] < resolve({"model": "mlp"})["width"] == OPTIONS["width"].default
    assert "mse" == resolve({"data": "diabetes"})["loss"]
    assert "transformer" == resolve({"data": "markov"})["model"]
    assert ["off", "on"] == [resolve({"depth": depth})["residual"] for depth in (3, 4)]
    assert "on" == resolve({"data": "brackets", "depth": 1})["residual"]


def test_a_transferred_network_sees_images_as_it_did_before() -> None:
    own = {"model": "timm:resnet18", "pretrained": "true"}

    assert "dataset" == resolve({})["image_norm"]
    assert "pretrained" == resolve(own)["image_norm"]
    assert "dataset" == resolve({**own, "image_norm": "dataset"})["image_norm"]


def test_only_weights_that_have_learned_something_are_frozen() -> None:
    freeze = {"freeze": ("body.*",)}

    assert "freeze" not in resolve(freeze, {"pretrain": "none"})
    assert ("body.*",) == resolve(freeze, {"pretrain": "masked"})["freeze"]
    assert ("body.*",) == resolve({**freeze, "pretrained": "m/"})["freeze"]


def test_a_configuration_that_cannot_run_is_refused_when_resolved() -> None:
    with pytest.raises(ValueError, match=r"lr: .*|colour: .*"):
        resolve({"lr": -1, "colour": 1})
    with pytest.raises(ValueError, match="cnn needs task image"):
        resolve({"data": "iris"}, {"model": "cnn"})
    with pytest.raises(ValueError, match="momentum: needs optimizer sgd, rmsprop or muon, but found adamw"):
        resolve({"optimizer": "adamw", "momentum": 0.9})


def test_what_another_trial_of_the_sweep_may_use_is_left_out_here() -> None:
    known = {"task": "tabular", "target": "regression", "categories": "none", "gaps": "none"}

    assert "huber_delta" not in resolve({"huber_delta": 0.5, "data": "a.csv"}, {"loss": "mae"}, known=known)
    assert "huber_delta" not in resolve({"data": "a.csv"}, {"loss": "mae", "huber_delta": 0.5}, known=known)
    assert "cat_encoder" not in resolve({"cat_encoder": "onehot"}, {"data": "b.csv"}, known=known)
