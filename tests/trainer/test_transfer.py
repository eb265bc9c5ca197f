"""Transfer: weights of one network in another, frozen parameters that stay, thawed ones that move."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import Network, build, levels
from hypersweep_trainer.model.transfer import adopt, folder, freeze, pretrained, thaw
from hypersweep_trainer.optim import optimizer
from hypersweep_trainer.options import Options
from tests.s3 import endpoint, s3

__all__ = ["endpoint", "s3"]

LOW, HIGH = ("0", "1", "2", "3", "4"), ("5", "6", "7", "8", "9")
OPTIONS = Options(model="cnn", depth=2, norm="batch", width=8, lr=1e-2, pretrained="model/")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x).float().view(-1, 1, 8, 8) / 8 - 1, torch.tensor(y)


def a_network(options: Options = OPTIONS, classes: int = 5) -> Network:
    return build(options, a_form(classes))


def a_form(classes: int = 5) -> Form:
    return Form("image", "classification", (1, 8, 8), classes)


def taken(
    network: Network, place: str, names: Sequence[str] = LOW, options: Options = OPTIONS
) -> dict[str, str]:
    """What starts anew, and why."""
    lines: list[str] = []
    anew = pretrained(
        options, network, folder(place, {}), a_form(len(names)), {"names": [*names]}, lines.append
    )
    assert bool(anew) == len(lines)
    return anew


def learn(network: Network, x: Tensor, y: Tensor, steps: int = 50) -> torch.optim.Optimizer:
    rule = optimizer(OPTIONS, network, levels(network))
    for group in rule.param_groups:
        group["lr"] = OPTIONS.lr
    network.train()
    for step in range(steps):
        rows = torch.arange(32 * step, 32 * (step + 1)) % len(x)
        rule.zero_grad()
        functional.cross_entropy(network(x[rows]), y[rows]).backward()
        rule.step()
    return rule


def copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed(network: nn.Module, before: Mapping[str, Tensor]) -> set[str]:
    return {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}


def a_folder(root: Path, network: nn.Module, names: Sequence[str] = LOW, model: str = "cnn") -> str:
    root.mkdir(exist_ok=True)
    (root / "weights.safetensors").write_bytes(save(network.state_dict()))
    about = {
        "resolved": {"model": model},
        "form": asdict(a_form(len(names))),
        "encoding": {"names": names},
    }
    (root / "model.json").write_text(json.dumps(about))
    return str(root)


def test_a_frozen_body_stays_to_the_bit_while_the_head_learns_and_moves_once_thawed(
    digits: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    x, y = digits
    first = a_network()
    learn(first, x[y < 5], y[y < 5])
    place = a_folder(tmp_path, first)

    network = a_network()
    anew = taken(network, place, HIGH)
    assert {"head.weight": "other classes", "head.bias": "other classes"} == anew
    assert changed(network, first.state_dict()) == set(anew)

    freeze(network, ["body.*"])
    before = copied(network)
    rule = learn(network, x[y >= 5], y[y >= 5] - 5)
    states = {id(parameter) for parameter in rule.state}
    assert {"head.weight", "head.bias"} == changed(network, before)
    assert states == {id(parameter) for parameter in network.head.parameters()}
    assert {id(p) for group in rule.param_groups for p in group["params"]} == states

    thaw(network)
    learn(network, x[y >= 5], y[y >= 5] - 5)
    assert set(before) == changed(network, before)


def test_frozen_norms_stay_in_evaluation_whatever_is_asked_of_the_network() -> None:
    network = a_network()
    freeze(network, ["body.0.*"])
    network.eval()
    network.train()
    training = {name: m.training for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}

    assert [False, True] == list(training.values())
    thaw(network)
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(
    ("patterns", "sentence"),
    [
        (["body.*", "stem.*"], r"freeze: stem\.\* must match a parameter's name, but matches none"),
        (["body.0.conv.wieght"], "matches none; did you mean body.0.conv.weight or"),
        (["*"], r"freeze: must leave something to learn, but \* is all there is"),
    ],
)
def test_patterns_that_make_no_sense_are_refused(patterns: list[str], sentence: str) -> None:
    options = Options(model="cnn", downsample="none")

    with pytest.raises(ValueError, match=sentence):
        freeze(a_network(options), patterns)


def test_a_head_of_another_size_starts_anew() -> None:
    first, network = a_network(), a_network(classes=3)
    before = copied(network)

    assert ["head.weight", "head.bias"] == adopt(network, first.state_dict())
    assert not changed(network.body, first.body.state_dict())
    assert not {"head.weight", "head.bias"} & changed(network, before)


def test_tied_weights_are_adopted_once_and_stay_tied() -> None:
    form = Form("sequence", "tokens", (8,), 6, vocabulary=6)
    first, network = (build(Options(model="transformer", tie_weights=True), form) for _ in range(2))

    assert [] == adopt(network, {n: w for n, w in first.state_dict().items() if n != "head.weight"})
    assert torch.equal(first.head.weight, network.head.weight)
    assert network.head.weight is network.embed.get_submodule("vector").weight


@pytest.mark.parametrize("url", ["{}", "{}/", "file://{}"])
def test_a_model_lies_in_a_folder_or_behind_a_url(url: str, tmp_path: Path) -> None:
    first, network = a_network(), a_network()
    place = url.format(a_folder(tmp_path, first))

    assert {} == taken(network, place)
    assert not changed(network, first.state_dict())


def test_a_model_may_lie_in_a_bucket(s3: Any, endpoint: str, tmp_path: Path) -> None:
    first, network = a_network(), a_network()
    a_folder(tmp_path, first)
    for path in tmp_path.iterdir():
        s3.put_object(Bucket="sweeps", Key=f"best/model/{path.name}", Body=path.read_bytes())
    read = folder("s3://sweeps/best/model", {"HYPERSWEEP_STORE_ENDPOINT": endpoint})

    assert {} == pretrained(OPTIONS, network, read, a_form(), {"names": [*LOW]}, print)
    assert not changed(network, first.state_dict())


def test_a_network_of_timm_takes_over_a_saved_one(tmp_path: Path) -> None:
    options = Options(model="timm:test_resnet", pretrained=str(tmp_path))
    first = build(options, Form("image", "classification", (1, 32, 32), 4))
    network = build(options, Form("image", "classification", (1, 32, 32), 6))
    a_folder(tmp_path, first, ("a", "b", "c", "d"), options.model)

    assert ["head.weight", "head.bias"] == [*taken(network, str(tmp_path), "abcdef", options)]
    assert ["head.bias", "head.weight"] == sorted(
        {*dict(network.named_parameters())} - {*freeze(network, ["body.*"])}
    )


def _broken(kind: str, root: Path) -> dict[str, bytes]:
    other = Options(model="transformer", patch=4, width=24)
    a_folder(root, build(other, Form("image", "classification", (1, 8, 8), 3)), model="transformer")
    files = {path.name: path.read_bytes() for path in root.iterdir()}
    match kind:
        case "no weights":
            del files["weights.safetensors"]
        case "cut":
            files["weights.safetensors"] = files["weights.safetensors"][:100]
        case "no document":
            files["model.json"] = b"[1]"
        case "other document":
            files["model.json"] = b'{"form": {}}'
    return files


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("no weights", "pretrained: a model must be in model/, but weights.safetensors is not there"),
        ("cut", "pretrained: a model must be in model/, but it cannot be read: "),
        ("no document", "pretrained: a model must be in model/, but it cannot be read: "),
        ("other document", "pretrained: a model must be in model/, but model.json has no encoding, resolved"),
        ("other", "no weight of the transformer there fits one of this cnn outside the head: body.0.conv"),
    ],
)
def test_a_folder_that_holds_no_fitting_model_is_refused(kind: str, sentence: str, tmp_path: Path) -> None:
    files: Mapping[str, Any] = _broken(kind, tmp_path)

    with pytest.raises(ValueError, match=sentence):
        pretrained(OPTIONS, a_network(), files.get, a_form(), {"names": [*LOW]}, print)
