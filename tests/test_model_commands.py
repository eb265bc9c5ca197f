"""The commands for trained models: of a sweep that ran, in a folder, in a bucket; what they refuse."""

import csv
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from sklearn.datasets import load_digits, load_iris

from hypersweep import cli, s3
from hypersweep.contract import BEST
from tests.s3 import endpoint
from tests.s3 import s3 as bucket
from tests.trainer.models import a_model

__all__ = ["bucket", "endpoint"]  # fixtures

HYPERSWEEP = Path(sys.executable).with_name("hypersweep")
MANIFEST = """
apiVersion: hypersweep.io/v1alpha1
kind: HyperSweep
metadata: {name: digits}
spec:
  objectives: [{metric: val_accuracy, goal: maximize}]
  parameters: [{name: lr, choice: [0.01, 0.00001]}]
  strategy: {grid: {}}
  trainer: {data: digits, epochs: 3, batch_size: 128, width: 16, depth: 1, checks: 'off'}
"""
PREFIX = "trials/00001/attempts/0/model"

Say = Callable[..., Result]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """The command, in this process; what it adds to the path of imports goes."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    return lambda *arguments: CliRunner().invoke(cli.main, list(map(str, arguments)))


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    np.savez(tmp_path / "digits.npz", x=load_digits().images.astype(np.float32) / 16, y=load_digits().target)
    return tmp_path / "digits.npz"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """The folder of a sweep that names the model of a trial as its best."""
    root = tmp_path / "runs" / "digits"
    (root / "journal").mkdir(parents=True)
    (root / "journal/000000.jsonl").write_text("{}\n")
    a_model(root / "trials/00001/attempts/0")
    (root / "model").mkdir()
    (root / BEST).write_text(json.dumps({"trial": 1, "attempt": 0, "prefix": PREFIX, "metrics": {}}))
    return root


def test_a_sweep_leaves_a_model_that_predicts_is_measured_and_exported(
    say: Say, tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.yaml").write_text(MANIFEST)
    subprocess.run([HYPERSWEEP, "run", "digits.yaml", "--parallel", "1"], capture_output=True, check=True)
    rows = list(csv.DictReader(io.StringIO(say("predict", "runs/digits", "digits.npz").stdout)))
    measured = json.loads(say("evaluate", "runs/digits", "--json").stdout)
    assert ["digits.pt2", "digits.pt2.json"] == say("export", "runs/digits", "digits.pt2").stdout.split()

    result = json.loads((tmp_path / "runs/digits/trials/00000/attempts/0/result.json").read_text())
    right = np.mean([row["prediction"] == str(y) for row, y in zip(rows, load_digits().target, strict=True)])
    assert ("the test split of digits", 359) == (measured["source"], measured["rows"])
    assert measured["metrics"]["accuracy"]["standardError"] < 0.03
    for accuracy in (measured["metrics"]["accuracy"]["value"], result["metrics"]["val_accuracy"]["value"]):
        assert abs(right - accuracy) < 0.1
    encoding = json.loads(Path("digits.pt2.json").read_text())["encoding"]
    x = torch.from_numpy(np.load(digits)["x"][:3, None])
    output = torch.export.load("digits.pt2").module()((x - encoding["mean"][0]) / encoding["std"][0])
    assert [row["prediction"] for row in rows[:3]] == [encoding["names"][code] for code in output.argmax(1)]


def test_a_sweeps_folder_and_its_models_say_the_same(say: Say, sweep: Path, digits: Path) -> None:
    trial = sweep / "trials/00001"
    a_model(trial / "attempts/10")
    (trial / "attempts/11").mkdir()
    shutil.copytree(sweep / PREFIX, trial / "attempts/10/model", dirs_exist_ok=True)
    models = (sweep / "model", sweep / BEST, sweep / PREFIX, f"{sweep / PREFIX}/weights.safetensors")
    above = (trial, trial / "attempts/0", sweep.parent, sweep.parent.parent)
    places = (sweep, f"{sweep}/", sweep.as_uri(), *models, *above)
    said = [say("predict", place, digits).stdout for place in places]

    assert said[0].startswith("prediction,p_0,p_1,")
    assert {said[0]} == set(said)


def test_a_sweep_that_ran_here_can_be_named(
    say: Say, sweep: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sweep.parent.parent)
    expected = say("predict", "runs/digits", digits).stdout

    assert expected == say("predict", "sweep://digits/best", digits).stdout
    assert 0 == say("export", "sweep://digits/best", "digits.pt2").exit_code
    none = say("evaluate", "sweep://others/best").stderr
    assert "Error: sweep://others/best: sweep others must have run here, but runs/others holds none\n" == none
    for form in ("sweep://digits", "sweep://digits/last", "sweep:///best", "sweep://../best"):
        assert f"Error: {form}: must have the form sweep://NAME/best\n" == say("evaluate", form).stderr


def test_a_model_can_lie_in_a_bucket(
    say: Say, sweep: Path, digits: Path, bucket: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    s3.connect.cache_clear()
    for path in sweep.rglob("*.*"):
        bucket.put_object(Bucket="sweeps", Key=f"team/{path.relative_to(sweep)}", Body=path.read_bytes())
    expected = say("predict", sweep, digits).stdout

    assert expected == say("predict", "s3://sweeps/team", digits).stdout
    for place in (PREFIX, "model", "trials/00001", "trials/00001/attempts/0"):
        assert expected == say("predict", f"s3://sweeps/team/{place}", digits).stdout
    assert expected == say("predict", "s3://sweeps", digits).stdout
    s3.connect.cache_clear()


def test_a_text_is_summed_up_beside_its_windows(say: Say, tmp_path: Path) -> None:
    (tmp_path / "tale.txt").write_text("the quick brown fox jumps over the lazy dog. " * 30)
    kept = a_model(tmp_path, data=str(tmp_path / "tale.txt"), context=16)
    said = say("predict", kept.folder, tmp_path / "tale.txt", "--output", tmp_path / "nats.csv")

    assert "" == said.stdout
    assert said.stderr.startswith("in all 1349 tokens: ")
    assert (tmp_path / "nats.csv").read_text().startswith("window,tokens,nats_per_token,perplexity\n1,16,")


def test_rows_may_be_piped(say: Say, tmp_path: Path) -> None:
    kept = a_model(tmp_path, data="iris")
    names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)", "species"]
    rows = [
        [*map(str, x), load_iris().target_names[y]] for x, y in zip(*load_iris(return_X_y=True), strict=True)
    ]
    text = "\n".join(map(",".join, [names, *rows])) + "\n"
    (tmp_path / "iris.csv").write_text(text)
    piped = CliRunner().invoke(cli.main, ["predict", str(kept.folder), "-"], input=text)
    measured = CliRunner().invoke(cli.main, ["evaluate", str(kept.folder), "--data", "-"], input=text)

    assert say("predict", kept.folder, tmp_path / "iris.csv").stdout == piped.stdout
    assert measured.stdout.startswith("stdin: 150 rows\n")


def test_a_measure_is_a_table_that_fits_a_terminal(say: Say, sweep: Path, digits: Path) -> None:
    lines = say("evaluate", sweep).stdout.splitlines()
    names = [line.split()[0] for line in lines]

    assert "the test split of digits: 359 rows" == lines[0]
    assert ["loss", "accuracy", "balanced_accuracy", "f1", "top5_accuracy", "auroc"] == names[1:7]
    assert " ± " in lines[1]
    assert max(map(len, lines)) <= 80
    assert f"{digits}: 1797 rows" == say("evaluate", sweep, "--data", digits).stdout.splitlines()[0]


@pytest.mark.parametrize("command", ["predict", "evaluate", "export"])
def test_help_fits_a_terminal(command: str, say: Say) -> None:
    lines = say(command, "--help").stdout.splitlines()

    assert max(map(len, lines)) <= 80
    assert any("MODEL is the folder or s3:// URL of a sweep" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("predict", "nowhere", "{digits}"),
            "nowhere: must be a model (model.json), a sweep with a best one (model/best.json), a trial or an "
            "attempt, or a folder with one sweep below it, but there is none of these",
        ),
        (("predict", "ftp://x/y", "{digits}"), "`s3://bucket/prefix` or `file:///folder` must hold, but got"),
        (("predict", "{sweep}", "none.npz"), "none.npz: must be a file or folder, but there is none"),
        (("predict", "{sweep}", "{digits}", "--output", "x.txt"), "x.txt: must end in .csv or .parquet"),
        (("evaluate", "{sweep}", "--data", "none.npz"), "none.npz: must be a file or folder, but there"),
        (("export", "{sweep}", "model.pt"), "model.pt: must end in .pt2 or .onnx"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence_with_status_2(
    arguments: tuple[str, ...], sentence: str, say: Say, sweep: Path, digits: Path
) -> None:
    said = say(*(argument.format(sweep=sweep, digits=digits) for argument in arguments))

    assert 2 == said.exit_code
    assert said.stderr.startswith("Error: ")
    assert sentence in said.stderr
    assert 1 == said.stderr.count("\n")


def test_a_sweep_that_has_no_best_model_yet_is_told(say: Say, sweep: Path, digits: Path) -> None:
    (sweep / BEST).write_text("{}")
    spoilt = say("predict", sweep, digits)
    (sweep / BEST).unlink()
    early = say("predict", sweep, digits)

    assert (2, 2) == (spoilt.exit_code, early.exit_code)
    assert spoilt.stderr.startswith("Error: file:///")
    assert "best.json cannot be read: `prefix` must name the model of a trial" in spoilt.stderr
    assert f"{sweep}: this sweep has no best model: it did not succeed yet, or saves none" in early.stderr


def test_a_trial_that_left_no_model_is_told(say: Say, sweep: Path, digits: Path) -> None:
    trial = sweep / "trials/00002"
    (trial / "attempts/0").mkdir(parents=True)
    (trial / "attempts/0/result.json").write_text("{}")

    attempt, whole = (say("predict", place, digits).stderr for place in (trial / "attempts/0", trial))
    assert f"{trial}/attempts/0: this attempt left no model: it has not ended well (yet)" in attempt
    assert f"{trial}: no attempt of this trial left a model: none has ended well (yet)" in whole


def test_of_several_sweeps_one_must_be_named(say: Say, sweep: Path, digits: Path) -> None:
    for number in range(6):
        shutil.copytree(sweep, sweep.parent / "ns" / f"other-{number}")
    said = say("predict", sweep.parent, digits)

    assert 2 == said.exit_code
    names = ", ".join(["digits", *(f"ns/other-{number}" for number in range(4))])
    assert f"Error: {sweep.parent}: one sweep must lie there, but these do: {names}, …\n" == said.stderr


@pytest.mark.parametrize(
    ("absent", "arguments", "extra"),
    [
        ("onnxscript", ("export", "{sweep}", "model.onnx"), "onnx"),
        ("torch", ("predict", "{sweep}", "{digits}"), "trainer"),
    ],
)
def test_what_must_be_installed_is_told(
    absent: str,
    arguments: tuple[str, ...],
    extra: str,
    say: Say,
    sweep: Path,
    digits: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == absent else find(name))
    said = say(*(argument.format(sweep=sweep, digits=digits) for argument in arguments))

    how = f"in a checkout of HyperSweep, pip install '.[{extra}]'"
    assert f"Error: {absent} must be installed: {how}\n" == said.stderr
    assert 1 == said.exit_code


NETWORK = """
from torch import nn

def small(outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))
"""


def test_a_network_of_the_users_own_is_found_in_the_current_folder(
    say: Say, tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_network.py").write_text(NETWORK)
    with monkeypatch.context() as training:
        training.syspath_prepend(tmp_path)
        a_model(tmp_path, model="own_network:small")
    del sys.modules["own_network"]
    elsewhere = say("predict", tmp_path / "model", digits)
    monkeypatch.chdir(tmp_path)
    here = say("predict", "model", digits)

    assert 2 == elsewhere.exit_code
    assert (
        "model: own_network:small must be importable, but: No module named 'own_network'" in elsewhere.stderr
    )
    assert (0, 1798) == (here.exit_code, here.stdout.count("\n"))
