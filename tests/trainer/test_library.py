"""Networks from elsewhere: timm's by name, the user's own by import path, and what is said of wrong ones."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data import resolve_model_data_config
from timm.layers import DropPath
from torch import nn

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import Network, build
from hypersweep_trainer.model.library import statistics
from hypersweep_trainer.options import Options

IMAGES = Form("image", "classification", (1, 32, 32), 7)
ROW = Form("tabular", "regression", (5,), 1, numbers=5)
OWN = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, shape, outputs, width=8):
        super().__init__(nn.Linear(shape[0], width), nn.Linear(width, outputs))

def by_form(form):
    return nn.Linear(form.shape[0], form.outputs)

def by_options(shape, outputs, *, options):
    return nn.Sequential(nn.Linear(shape[0], outputs), nn.Dropout(options.dropout))

def strange(shape, size):
    return nn.Linear(shape[0], size)

def forgetful(form):
    pass

def wide(form):
    return nn.Linear(form.shape[0], 1 + form.outputs)

def narrow(form):
    return nn.Linear(1, form.outputs)

class rebuilds(nn.Module):
    def __init__(self, form):
        super().__init__()

    def forward(self, x):
        return x

class embeds(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.table = nn.Embedding(form.vocabulary, form.outputs)

    def forward(self, x):
        return self.table(x)

number = 3
"""


@pytest.fixture
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def a_network(model: str, form: Form = IMAGES, **given: Any) -> Network:
    return build(Options(model=model, **given), form)


@pytest.mark.parametrize(
    ("name", "linear"), [("test_resnet", True), ("test_vit", True), ("levit_128s", False)]
)
def test_a_network_of_timm_is_timms_own_with_its_last_layer_as_the_head(name: str, linear: bool) -> None:
    side = 224 if name == "levit_128s" else 32
    form = Form("image", "classification", (1, side, side), 7)
    sizes = {} if name == "test_resnet" else {"img_size": (side, side)}
    torch.manual_seed(3)
    known = timm.create_model(name, num_classes=7, in_chans=1, **sizes).eval()
    torch.manual_seed(3)
    network = a_network(f"timm:{name}", form).eval()
    x = torch.randn(2, *form.shape)

    assert isinstance(network.head, nn.Linear) == linear
    assert isinstance(network.embed, nn.Identity)
    assert torch.equal(known(x), network(x))


def test_rates_of_dropout_reach_timm() -> None:
    network = a_network("timm:test_vit", dropout=0.3, stochastic_depth=0.2)

    assert 0.3 in {module.p for module in network.modules() if isinstance(module, nn.Dropout)}
    assert max(m.drop_prob for m in network.modules() if isinstance(m, DropPath)) == pytest.approx(0.2)


def test_predictions_of_timm_keep_their_bounds() -> None:
    form = Form("image", "regression", (3, 32, 32), 1, bounds=(-1.0, 2.0))
    found = a_network("timm:test_resnet", form)(torch.randn(8, 3, 32, 32) * 1e3)

    assert (found >= -1).all()
    assert (found <= 2).all()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"model": "timm:resnet81"}, "model: timm must know resnet81, but does not; did you mean resnet18"),
        ({"model": "timm:resnet18.a1_in2k"}, "but does not; did you mean resnet18.a1_in1k"),
        (
            {"model": "timm:coatnet_0_224", "pretrained": "true"},
            "pretrained: timm must have weights of timm:coat",
        ),
        ({"model": "timm:vgg11", "stochastic_depth": 0.1}, "stochastic_depth: must be 0 with timm:vgg11"),
    ],
)
def test_what_timm_does_not_have_is_said(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build(Options(**given), IMAGES)


def test_images_too_small_for_a_network_are_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"model: timm:test_vit must take rows of shape \(1, 4, 4\), but: "):
        a_network("timm:test_vit", Form("image", "classification", (1, 4, 4), 7))


def test_a_size_that_only_evaluation_asks_for_is_tried_at_once() -> None:
    assert (2, 7) == a_network("timm:test_resnet", test_size=48)(torch.randn(2, 1, 48, 48)).shape
    with pytest.raises(ValueError, match=r"_224 must take rows of shape \(1, 48, 48\), but: AssertionError"):
        a_network("timm:vit_tiny_patch16_224", test_size=48)


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet's
        ("vit_tiny_patch16_224", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("test_vit.r160_in1k", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ],
)
def test_the_statistics_of_weights_are_those_that_timm_names(
    name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    with torch.device("meta"):
        known = resolve_model_data_config(timm.create_model(name))

    assert (mean, std) == statistics(f"timm:{name}") == (known["mean"], known["std"])


@pytest.mark.usefixtures("_own")
@pytest.mark.parametrize("name", ["Net", "by_form", "by_options"])
def test_an_own_network_is_given_what_its_parameters_name(name: str) -> None:
    network = a_network(f"own_networks:{name}", ROW, dropout=0.5)

    assert (4, 1) == network(torch.randn(4, 5)).shape
    assert network.training


@pytest.mark.usefixtures("_own")
def test_an_own_network_may_give_tokens_or_rebuild_rows() -> None:
    tokens = Form("sequence", "tokens", (6,), 9, vocabulary=9)
    rebuilt = Form("image", "reconstruction", (1, 4, 4), 16)

    assert (2, 6, 9) == a_network("own_networks:embeds", tokens)(torch.ones(2, 6, dtype=torch.int64)).shape
    assert (2, 1, 4, 4) == a_network("own_networks:rebuilds", rebuilt)(torch.randn(2, 1, 4, 4)).shape


@pytest.mark.usefixtures("_own")
def test_predictions_of_an_own_network_keep_their_bounds() -> None:
    form = Form("tabular", "regression", (5,), 1, numbers=5, bounds=(0.0, 1.0))
    found = a_network("own_networks:by_form", form)(torch.randn(50, 5) * 100)

    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.usefixtures("_own")
@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("no_such_module:net", "model: no_such_module:net must be importable, but: No module named"),
        ("own_networks:by_from", "must name something in own_networks, but does not; did you mean by_form"),
        ("own_networks:number", "model: own_networks:number must be a function or class, but is a int"),
        ("own_networks:strange", "must take no parameters but form, shape, outputs, options, but needs size"),
        ("own_networks:forgetful", "must return a torch.nn.Module, but returned a NoneType"),
        ("own_networks:wide", r"must give outputs of shape \(2, 1\) for 2 rows, but gives \(2, 2\)"),
        ("own_networks:narrow", r"must take rows of shape \(5,\), but: RuntimeError"),
    ],
)
def test_what_is_wrong_with_an_own_network_is_said_in_one_sentence(path: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        a_network(path, ROW)
