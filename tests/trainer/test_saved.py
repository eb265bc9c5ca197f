"""A trained model as a folder: complete, free of code, and the same network to the last bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

from hypersweep_trainer import loss, metric, saved
from hypersweep_trainer.config import Config
from hypersweep_trainer.data import load
from hypersweep_trainer.form import Form
from hypersweep_trainer.rank import Alone
from tests.trainer.models import CPU, Kept, a_model
from tests.trainer.runs import an_environment, left, train


class Shared(nn.Module):
    """A network whose buffers are parts of one memory."""

    one: Tensor
    other: Tensor

    def __init__(self, form: Form) -> None:
        super().__init__()
        both = torch.arange(20.0)
        self.register_buffer("one", both[:10])
        self.register_buffer("other", both[10:])
        self.layer = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.layer(x.flatten(1))
        return hidden * self.one + self.other


NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"norm": "batch", "dropout": 0.3},
    "cnn": {"model": "cnn", "norm": "batch", "se_ratio": 4, "aspp_rates": [1, 2]},
    "transformer": {"model": "transformer", "stochastic_depth": 0.5, "residual": "on"},
    "tied": {"data": "markov", "tie_weights": True, "synthetic_rows": 60, "context": 8},
    "embedded": {"data": "synthetic_table", "emb_dim": 3},
    "target encoded": {"data": "synthetic_table", "cat_encoder": "target", "num_encoder": "rankgauss"},
    "bounded": {"data": "diabetes", "output_range": [0, 400], "target_norm": "log"},
    "rebuilt": {"target": "reconstruction"},
    "imported": {"model": "tests.trainer.test_saved:Shared"},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_saved_model_is_the_same_to_the_last_bit(name: str, tmp_path: Path) -> None:
    kept = a_model(tmp_path, **NETWORKS[name])
    model = kept.model

    assert torch.equal(kept.outputs(kept.data.val), with_network(kept, model.network).outputs(kept.data.val))
    assert (kept.config.options, kept.data.form, kept.data.scaling) == (
        model.options,
        model.form,
        model.scaling,
    )
    assert json.loads(json.dumps(kept.data.encoding)) == model.encoding
    assert tuple(kept.data.encoding["names"]) == model.names
    assert not any(parameter.requires_grad for parameter in model.network.parameters())


def with_network(kept: Kept, network: nn.Module) -> Kept:
    return Kept(kept.config, kept.data, network, kept.folder)


def test_a_folder_holds_weights_as_plain_arrays_and_one_document(tmp_path: Path) -> None:
    kept = a_model(tmp_path, model="cnn", norm="batch", channels_last=True)
    weights = load_file(kept.folder / "weights.safetensors")

    assert {"weights.safetensors", "model.json"} == {path.name for path in kept.folder.iterdir()}
    assert set(kept.network.state_dict()) == set(weights)
    assert all(np.array_equal(tensor, weights[name]) for name, tensor in kept.network.state_dict().items())
    assert kept.data.digest == json.loads((kept.folder / "model.json").read_text())["digest"]


def test_weights_that_are_tied_are_stored_once_and_are_tied_again(tmp_path: Path) -> None:
    kept = a_model(tmp_path, **NETWORKS["tied"])
    names = load_file(kept.folder / "weights.safetensors")
    network: Any = kept.model.network

    assert "head.weight" not in names
    assert network.head.weight is network.embed.vector.weight


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "batch", "dropout": 0.2},
        {"ema": 0.9},
        {"epochs": 5, "lr": 0.3, "restore_best": True, "warmup": 0},
        {"freeze": ["body.*"], "pretrained": "{before}"},
    ],
    ids=["plain", "mean of weights", "best epoch", "frozen"],
)
def test_a_trial_leaves_the_model_that_its_last_metrics_are_of(
    options: dict[str, Any], tmp_path: Path
) -> None:
    before = a_model(tmp_path / "before", width=16).folder
    options = {k: v.format(before=before) if isinstance(v, str) else v for k, v in options.items()}
    assert 0 == train(an_environment(tmp_path, options))
    model = saved.opened(str(tmp_path / "attempts/0/model"))

    data = load(Config.read(an_environment(tmp_path, options)), CPU)
    found = metric.evaluate(
        model.network,
        data.val,
        data.form,
        data.scaling,
        Alone(CPU),
        "val",
        loss.build(model.options, model.form, ()),
    )
    told = left(tmp_path, "result.json")["metrics"]
    assert pytest.approx(found.values) == {name: told[name]["last"] for name in found.values}


def test_a_trial_that_saves_no_model_leaves_none(tmp_path: Path) -> None:
    assert 0 == train(an_environment(tmp_path, {"save_model": False}))

    assert not (tmp_path / "attempts/0/model").exists()


def test_a_model_of_some_digits_is_where_one_of_the_others_starts_from(tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    for name, chosen in {"low": y < 5, "high": y >= 5}.items():
        np.savez(
            tmp_path / f"{name}.npz", x=(x[chosen] / 16).astype(np.float32).reshape(-1, 8, 8), y=y[chosen]
        )
    options = {"model": "cnn", "norm": "batch", "width": 8, "task": "image"}
    train(an_environment(tmp_path / "low", {**options, "data": f"{tmp_path}/low.npz"}))
    first = saved.opened(str(tmp_path / "low/attempts/0/model"))

    place = f"{tmp_path}/low/attempts/0/model"
    more = {"data": f"{tmp_path}/high.npz", "pretrained": place, "freeze": ["body.*"], "lr": 0.01}
    assert 0 == train(an_environment(tmp_path / "high", {**options, **more}))
    second = saved.opened(str(tmp_path / "high/attempts/0/model"))

    weights = [dict(model.network.named_parameters()) for model in (first, second)]
    equal = {name for name in weights[0] if torch.equal(weights[0][name], weights[1][name])}
    assert (("0", "1", "2", "3", "4"), ("5", "6", "7", "8", "9")) == (first.names, second.names)
    assert {name for name in weights[0] if name.startswith("body.")} == equal


def _broken(kind: str, folder: Path) -> None:
    weights, about = folder / "weights.safetensors", folder / "model.json"
    document = json.loads(about.read_text())
    match kind:
        case "no weights":
            weights.unlink()
        case "no document":
            about.unlink()
        case "cut weights":
            weights.write_bytes(weights.read_bytes()[:-40])
        case "no JSON":
            about.write_text("{")
        case "later format":
            about.write_text(json.dumps({**document, "format": 2}))
        case "other network":
            about.write_text(json.dumps({**document, "resolved": {**document["resolved"], "width": 9}}))


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("no weights", "model: must hold a model .* but weights.safetensors is not there"),
        ("no document", "model: must hold a model .* but model.json is not there"),
        ("cut weights", "model: must hold a model, but it cannot be read: "),
        ("no JSON", "model: must hold a model, but it cannot be read: "),
        ("later format", "model: format must be 1 in model.json, but is 2"),
        ("other network", r"weights.safetensors must hold every tensor of the network, but not body\.0"),
    ],
)
def test_a_folder_that_is_no_model_is_refused_with_a_sentence(
    kind: str, sentence: str, tmp_path: Path
) -> None:
    kept = a_model(tmp_path)
    _broken(kind, kept.folder)

    with pytest.raises(ValueError, match=sentence):
        saved.opened(str(kept.folder))
