"""Exported programs: the network's own outputs for any number of rows, and what these rows must be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from PIL import Image
from torch import Tensor, nn

from hypersweep_trainer.data import image
from hypersweep_trainer.form import Form
from hypersweep_trainer.serve import export, given
from hypersweep_trainer.serve.rows import rows
from tests.trainer.models import Kept, a_model

SIZES = (1, 2, 5)
CONV = {
    "model": "cnn",
    "norm": "batch",
    "dropout": 0.5,
    "stochastic_depth": 0.5,
    "residual": "on",
    "test_size": 12,
}
LANGUAGE = {"data": "markov", "synthetic_rows": 60, "context": 8, "pos_enc": "rope", "dropout": 0.5}
NETWORKS: dict[str, dict[str, Any]] = {
    "conv": CONV,
    "language": LANGUAGE,
    "embedding": {"data": "synthetic_table", "dropconnect": 0.5, "dropout": 0.5, "dropout_scale": "std"},
    "one-hot": {"data": "synthetic_table", "cat_encoder": "onehot", "activation": "swiglu"},
    "bounded": {"data": "diabetes", "output_range": [0, 400]},
    "patches": {"model": "transformer", "patch": 4},
}


class Picky(nn.Module):
    """A network that looks at the numbers that it is given."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(64, outputs)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.layer(x.flatten(1))
        return hidden if float(hidden.sum()) > 0 else -hidden


def exported(kept: Kept, root: Path, ending: str) -> Path:
    path = root / f"program{ending}"
    assert [str(path), f"{path}.json"] == export.run(str(kept.folder), str(path))
    return path


def some_rows(kept: Kept, count: int) -> Tensor:
    return kept.data.val.take(torch.arange(count))[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_program_of_torch_gives_the_networks_outputs_for_any_number_of_rows(
    name: str, tmp_path: Path
) -> None:
    kept = a_model(tmp_path, **NETWORKS[name])
    program = torch.export.load(exported(kept, tmp_path, ".pt2")).module()

    for count in SIZES:
        x = some_rows(kept, count)
        assert torch.allclose(kept.network.eval()(x), program(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [CONV, LANGUAGE], ids=["conv", "language"])
def test_a_program_of_onnx_gives_the_networks_outputs_for_any_number_of_rows(
    options: dict[str, Any], tmp_path: Path
) -> None:
    kept = a_model(tmp_path, **options)
    program = onnx.load(exported(kept, tmp_path, ".onnx"))
    onnx.checker.check_model(program)
    evaluator = ReferenceEvaluator(program)

    assert (["x"], ["output"]) == (
        [one.name for one in program.graph.input],
        [one.name for one in program.graph.output],
    )
    for count in SIZES:
        x = some_rows(kept, count)
        (found,) = evaluator.run(None, {"x": x.numpy()})
        assert np.allclose(kept.network.eval()(x).detach().numpy(), found, rtol=1e-5, atol=1e-5)


def test_the_document_beside_a_program_says_how_rows_become_its_input(tmp_path: Path) -> None:
    kept = a_model(tmp_path, data="iris")
    about = json.loads(Path(f"{exported(kept, tmp_path, '.pt2')}.json").read_text())

    assert json.loads((kept.folder / "model.json").read_text()) == about
    first = about["encoding"]["table"]["numbers"][0]
    assert {"name": "sepal length (cm)", "kind": "linear"}.items() <= first.items()


def test_an_imported_network_that_cannot_be_exported_is_told(tmp_path: Path) -> None:
    kept = a_model(tmp_path, model="tests.trainer.test_export:Picky")

    with pytest.raises(ValueError, match=r"test_export:Picky: cannot be exported: .*data-dependent"):
        exported(kept, tmp_path, ".pt2")


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("{}/model.pt", "model.pt: must end in .pt2 or .onnx"),
        ("{}/none/model.pt2", "model.pt2: must lie in a folder, but .*none is none"),
    ],
)
def test_a_place_that_no_program_can_be_written_to_is_told(place: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        export.run(str(tmp_path), place.format(tmp_path))


@pytest.fixture(scope="module")
def recipe() -> Callable[[Any, Any], Tensor]:
    """The one that the page on models prints."""
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    found: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], found)
    x_of: Callable[[Any, Any], Tensor] = found["x_of"]
    return x_of


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options", [{"image_size": 20}, {"image_size": 12, "test_size": 24, "test_crop": 0.875}]
)
def test_the_recipe_for_an_image_gives_what_the_model_sees(
    options: dict[str, Any], mode: str, recipe: Callable[[Any, Any], Tensor], tmp_path: Path
) -> None:
    pictures = some_pictures(tmp_path / "images", mode)
    kept = a_model(tmp_path, data=str(tmp_path / "images"), model="cnn", **options)
    model = kept.model
    seen = rows(model, given.read(model, str(tmp_path / "images")).raw, slice(None)).take(torch.arange(24))[0]

    for row, picture in enumerate(pictures):
        with Image.open(picture) as opened:
            assert torch.equal(seen[row : row + 1], recipe(opened, model.encoding))


def some_pictures(folder: Path, mode: str) -> list[Path]:
    """Two classes of images of many sizes, the last ones of 24 x 24, in the order in which they are read."""
    random = np.random.default_rng(0)
    endings = ("png", "bmp", "jpeg") if mode == "L" else ("png", "bmp", "jpeg", "gif")
    for kind in ("ant", "bee"):
        (folder / kind).mkdir(parents=True)
        for number in range(12):
            sides = random.integers(10, 50, 2) if number < 11 else (24, 24)
            picture = Image.fromarray(random.integers(0, 256, (*sides, 3), np.uint8)).convert(mode)
            picture.save(folder / kind / f"{number:02}.{endings[number % len(endings)]}")
    return [*image.files(folder / "ant"), *image.files(folder / "bee")]


def test_a_form_is_all_that_a_program_knows_of_its_rows(tmp_path: Path) -> None:
    kept = a_model(tmp_path, **CONV)

    assert Form("image", "classification", (1, 8, 8), 10) == kept.model.form
    assert (2, 1, 12, 12) == export.program(kept.model).example_inputs[0][0].shape
