"""`pretrained: true`, the weights that timm has for a network, from the manifest to the saved model."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from hypersweep.api import load, problems
from hypersweep.document import read
from hypersweep_trainer import saved
from hypersweep_trainer.options import OPTIONS, check, resolve

HYPERSWEEP = Path(sys.executable).with_name("hypersweep")
WORDS = "must be true (timm's own weights), a model's folder or sweep://NAME/best, but found"
MANIFEST = """
apiVersion: hypersweep.io/v1alpha1
kind: HyperSweep
metadata: {{name: transfer}}
spec:
  objectives: [{{metric: val_accuracy, goal: maximize}}]
  parameters: [{parameter}]
  strategy: {{grid: {{}}}}
  trainer:
    {{data: digits, model: "timm:test_resnet", image_size: 32, epochs: 1, lr: 1e-6, checks: "off", {fixed}}}
"""
SWEPT = MANIFEST.format(parameter='{name: pretrained, choice: [true, ""]}', fixed="dropout: 0")
FIXED = MANIFEST.format(parameter="{name: dropout, choice: [0, 0.1]}", fixed="pretrained: true")


@pytest.mark.parametrize("manifest", [SWEPT, FIXED, FIXED.replace("true", '"true"')])
def test_true_is_a_value_as_it_is_documented_fixed_or_swept(manifest: str) -> None:
    assert [] == problems(read(manifest)[0])
    assert "transfer" == load(manifest).metadata.name


def test_true_and_the_word_are_the_same_value() -> None:
    own = {"model": "timm:resnet18"}

    assert resolve({**own, "pretrained": "true"}) == resolve({**own, "pretrained": True})
    assert resolve({**own, "pretrained": "true"}) == resolve(own, {"pretrained": True})
    assert "pretrained" == resolve(own, {"pretrained": True})["image_norm"]


def test_true_needs_a_network_of_timm_however_it_is_written() -> None:
    for value in (True, "true"):
        assert ["pretrained: true needs model timm:NAME, but found cnn"] == check(
            {"model": "cnn", "pretrained": value}, {}
        )


@pytest.mark.parametrize("value", [False, 1])
def test_what_is_not_true_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="but found") as told:
        OPTIONS["pretrained"].accept(value)

    assert str(told.value).startswith(WORDS)


def test_true_is_no_name_of_a_column() -> None:
    with pytest.raises(ValueError, match="must be a column's name, but found true"):
        OPTIONS["label"].accept(True)


def test_a_sweep_starts_from_timms_weights_and_saves_what_it_did(tmp_path: Path) -> None:
    hub = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    (hub / "refs").mkdir(parents=True)
    (hub / "refs/main").write_text("some")
    (hub / "snapshots/some").mkdir(parents=True)
    torch.manual_seed(5)
    known = timm.create_model("test_resnet").state_dict()
    save_file(known, hub / "snapshots/some/model.safetensors")
    (tmp_path / "transfer.yaml").write_text(SWEPT)
    surroundings = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    run = subprocess.run(
        [HYPERSWEEP, "run", "transfer.yaml", "--parallel", "1"],
        cwd=tmp_path,
        env=surroundings,
        capture_output=True,
        text=True,
    )
    attempts = [tmp_path / f"runs/transfer/trials/0000{trial}/attempts/0" for trial in (0, 1)]
    resolved = [json.loads((attempt / "result.json").read_text())["resolved"] for attempt in attempts]
    models = [saved.opened(str(attempt / "model")) for attempt in attempts]
    moved = [
        (
            dict(model.network.named_parameters())["body.layer1.0.conv1.weight"]
            - known["layer1.0.conv1.weight"]
        )
        .abs()
        .max()
        for model in models
    ]

    assert 0 == run.returncode, run.stdout + run.stderr
    assert ["true", ""] == [values["pretrained"] for values in resolved]
    assert ["true", ""] == [model.about["resolved"]["pretrained"] for model in models]
    assert moved[0] < 1e-3 < moved[1]
