"""The page on code of one's own: what it says is run, here and as a pod would run it."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from hypersweep.api import load, problems
from hypersweep.document import read
from hypersweep.job import expand, render
from hypersweep_trainer.options import OPTIONS
from tests.rendering import UID, an_order

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/own-code.md"
HYPERSWEEP = Path(sys.executable).with_name("hypersweep")
CODE = "/code"


def blocks() -> dict[str, list[str]]:
    """The code of the page by its language, in order."""
    found = defaultdict(list)
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        found[language].append(text)
    return found


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The folder that the page asks for."""
    (module,), (manifest, _) = blocks()["python"], blocks()["yaml"]
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "mine.py").write_text(module)
    (folder / "mine.yaml").write_text(manifest)
    return folder


def run(*command: Any, folder: Path, **variables: str) -> str:
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=surroundings | variables, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def on_a_cluster() -> dict[str, Any]:
    manifest, trial = blocks()["yaml"]
    whole = read(manifest + trial)[0]
    assert [] == problems(whole)
    found: dict[str, Any] = whole
    return found


def test_the_sweep_of_the_page_learns_and_its_model_is_found_by_another_path(code: Path) -> None:
    run(HYPERSWEEP, "run", "mine.yaml", "--parallel", "1", folder=code)
    best = json.loads((code / "runs/mine/model/best.json").read_text())
    (code / "elsewhere").mkdir()
    measured = run(HYPERSWEEP, "evaluate", "../runs/mine", folder=code / "elsewhere", PYTHONPATH=str(code))

    assert best["metrics"]["val_accuracy"] > 0.95
    assert measured.startswith("the test split of mine:spirals: 400 rows\n")


def test_a_pod_has_the_files_of_the_config_map_where_it_works() -> None:
    (command,) = blocks()["sh"]
    pod = render(
        load(on_a_cluster()).spec, "mine", "ns", UID, an_order(parameters={"lr": 0.01}), image="trainer"
    )["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    name = command.split()[3]

    assert {"name": "code", "configMap": {"name": name}} in pod["volumes"]
    assert {"name": "code", "mountPath": CODE} in container["volumeMounts"]
    assert CODE == container["workingDir"]


@pytest.mark.parametrize("way", ["workingDir", "PYTHONPATH"])
def test_a_trial_in_a_pod_finds_network_and_data(way: str, code: Path, tmp_path: Path) -> None:
    parameters = {"model": "mine:many_sines", "lr": 0.01}
    job = render(load(on_a_cluster()).spec, "mine", "ns", UID, an_order(parameters=parameters), image="any")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    variables = {v["name"]: expand(v["value"], {}) for v in container["env"] if "value" in v}
    mounted(code, tmp_path / "volume")
    message = tmp_path / "message"
    own = {"HYPERSWEEP_TERMINATION_LOG": str(message)}
    path = str(tmp_path / "volume") if way == "PYTHONPATH" else ""
    run(
        sys.executable,
        *container["command"][1:],
        folder=tmp_path / "volume" if way == "workingDir" else tmp_path,
        **{**variables, **own, "PYTHONPATH": path},
    )

    assert json.loads(message.read_text())["val_accuracy"] > 0.9


def mounted(code: Path, volume: Path) -> None:
    """The module as the kubelet mounts a ConfigMap: a link into a folder that a link names."""
    (volume / "..2026").mkdir(parents=True)
    (volume / "..data").symlink_to("..2026")
    (volume / "..2026/mine.py").write_text((code / "mine.py").read_text())
    (volume / "mine.py").symlink_to("..data/mine.py")


def test_the_page_is_found_where_people_look() -> None:
    for place in ("README.md", "docs/models.md", "docs/hyperparameters.md"):
        assert "own-code.md)" in (ROOT / place).read_text()
    for name in ("data", "model"):
        assert "docs/own-code.md" in OPTIONS[name].hint


INSTALLS = [
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("examples/*.yaml"),
    *ROOT.glob("operator/hypersweep/*.py"),
    ROOT / "README.md",
]


def test_nothing_is_installed_by_a_name_that_no_index_knows() -> None:
    found = {
        (path.name, what)
        for path in INSTALLS
        for what in re.findall(r"pip install '?([^\s`'\"]+)", path.read_text())
    }
    extras = {name for _, what in found for name in re.findall(r"\w+", what.partition("[")[2])}

    assert {"models.md", "own-script.yaml", "usage.py"} <= {name for name, _ in found}
    assert not {what for _, what in found if not what.startswith((".", "/src"))}
    assert (
        extras - {"extra"}
        <= tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    )  # `extra` is the word in code for any of them
