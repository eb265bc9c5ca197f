"""The command as people use it: whole runs of own commands, interrupted, killed, continued, refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from hypersweep import cli, command, crd
from hypersweep.api import load
from hypersweep.journal import Ended, History, decode
from hypersweep.store import StoreJournal, open_store
from hypersweep.trial import End, Status
from tests.alive import is_running
from tests.s3 import endpoint, s3

__all__ = ["endpoint", "s3"]  # fixtures

HYPERSWEEP = Path(sys.executable).with_name("hypersweep")
PATIENCE = 60.0  # seconds: only a failing test waits that long

# notes its start; then ends when it may: at once when it is the first, else when the file `go` is there
TRIAL = """
import json, os, pathlib, signal, sys, time
number = int(os.environ["HYPERSWEEP_TRIAL"])
if pathlib.Path("deaf").exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
with open("starts", "a") as file:
    file.write(f"{number} {os.getpid()}\\n")
while number and not pathlib.Path("go").exists():
    time.sleep(0.01)
x = json.loads(os.environ["HYPERSWEEP_PARAMETERS"])["x"]
pathlib.Path(os.environ["HYPERSWEEP_TERMINATION_LOG"]).write_text(json.dumps({"loss": x * x}))
"""


def a_manifest(**spec: Any) -> dict[str, Any]:
    container = {"name": "trial", "command": ["python", "trial.py"]}
    return {
        "apiVersion": "hypersweep.io/v1alpha1",
        "kind": "HyperSweep",
        "metadata": {"name": "own"},
        "spec": {
            "objectives": [{"metric": "loss", "goal": "minimize"}],
            "parameters": [{"name": "x", "float": {"min": -2, "max": 2}}],
            "strategy": {"grid": {"points": 5}},
            "parallelism": 2,
            "trial": {"podTemplate": {"spec": {"containers": [container]}}},
        }
        | spec,
    }


class Desk:
    """A folder with a manifest and its trial, and the processes started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        (folder / "trial.py").write_text(TRIAL)
        self.write(a_manifest())

    def write(self, manifest: dict[str, Any]) -> None:
        (self.folder / "own.yaml").write_text(yaml.safe_dump(manifest))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [HYPERSWEEP, "run", "own.yaml", "--parallel", "2", *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    def go(self) -> None:
        (self.folder / "go").touch()

    def await_starts(self, count: int) -> list[tuple[int, int]]:
        """Trial and process of so many starts."""
        deadline = time.monotonic() + PATIENCE
        while len(found := self.starts()) < count:
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
        return found

    def starts(self) -> list[tuple[int, int]]:
        file = self.folder / "starts"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(trial), int(process)) for trial, process in map(str.split, lines)]

    def facts(self) -> list[Any]:
        journal = StoreJournal(open_store(str(self.folder / "runs" / "own")))
        return [fact for segment in journal.since(0) for fact in decode(segment)]

    def history(self) -> History:
        return History().fold(self.facts())

    def final_results(self) -> Counter[int]:
        """How many final records each trial has."""
        return Counter(fact.trial for fact in self.facts() if isinstance(fact, Ended) and fact.final)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    for process in desk.processes:
        process.kill()
        process.communicate()


ONCE = Counter(range(5))


def test_a_sweep_of_commands_runs_to_its_best(desk: Desk) -> None:
    desk.go()
    status, said = desk.run()

    assert (0, ONCE) == (status, desk.final_results()), said
    assert "best: loss 0: x=0" in said
    assert "results: runs/own" in said


def test_an_interrupted_run_says_how_to_go_on_and_goes_on(desk: Desk) -> None:
    process = desk.start()
    desk.await_starts(3)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE)
    between = desk.history()
    desk.go()
    status, _ = desk.run()

    assert 130 == process.returncode, said
    assert "go on with: hypersweep run own.yaml --parallel 2" in said
    assert {Status.DONE: 1} == between.counts
    assert [End.SUSPENDED, End.SUSPENDED] == [between.trials[trial].last.end for trial in (1, 2)]
    assert (0, ONCE) == (status, desk.final_results())


def test_a_killed_run_leaves_nothing_alive_and_goes_on(desk: Desk) -> None:
    process = desk.start()
    started = desk.await_starts(3)
    process.kill()
    process.wait()
    desk.go()
    status, said = desk.run()

    assert (0, ONCE) == (status, desk.final_results()), said
    assert not any(is_running(pid) for _, pid in started)
    assert [0, 1, 1, 2, 2, 3, 4] == sorted(trial for trial, _ in desk.starts())


def test_a_second_interrupt_kills_what_does_not_end(desk: Desk) -> None:
    (desk.folder / "deaf").touch()
    process = desk.start()
    started = desk.await_starts(3)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C again" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    desk.go()
    status, _ = desk.run()

    assert 130 == process.returncode
    assert not any(is_running(pid) for _, pid in started)
    assert (0, ONCE) == (status, desk.final_results())


def test_a_sweep_that_runs_already_is_refused(desk: Desk) -> None:
    process = desk.start()
    desk.await_starts(1)
    status, said = desk.run()

    assert (1, f"Error: another process (pid {process.pid}) is running this sweep\n") == (status, said)


def test_another_search_under_the_same_name_is_refused_by_field(desk: Desk) -> None:
    desk.go()
    desk.run()
    desk.write(a_manifest(seed=7))
    status, said = desk.run()

    assert 1 == status
    assert "spec.seed: must stay 0, but found 7" in said


def test_a_live_field_may_change_between_two_runs(desk: Desk) -> None:
    desk.go()
    desk.write(a_manifest(maxTrials=2))
    desk.run()
    desk.write(a_manifest())
    status, said = desk.run()

    assert (0, ONCE) == (status, desk.final_results()), said


def test_what_means_nothing_here_is_said_in_one_line(desk: Desk) -> None:
    container = {"name": "trial", "image": "busybox", "command": ["python", "trial.py"]}
    resources = {"limits": {"cpu": "1"}}
    trial = {"resources": resources, "podTemplate": {"spec": {"nodeName": "a", "containers": [container]}}}
    desk.write(a_manifest(trial=trial, maxTrials=1))
    _, said = desk.run()

    line = "ignored on this machine: trial.image, trial.resources, trial.podTemplate.spec.nodeName"
    assert line in said.splitlines()


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"nvidia.com/gpu": 2}, ["trial.image"]),
        (
            {"nvidia.com/gpu": 2, "cpu": "1"},
            ["trial.image", "trial.resources (but for GPUs: each is a rank)"],
        ),
        ({"cpu": "1"}, ["trial.image", "trial.resources"]),
    ],
)
@pytest.mark.parametrize("own", [False, True], ids=["of the trial", "of the container"])
def test_gpus_start_ranks_here_and_are_not_ignored(
    own: bool, limits: dict[str, Any], said: list[str]
) -> None:
    resources = {"resources": {"limits": limits}}
    container = {"name": "trial", "image": "busybox", "command": ["python", "trial.py"]}
    template = {"spec": {"containers": [container | resources if own else container]}}
    manifest = a_manifest(trial={"podTemplate": template} | ({} if own else resources))
    spec = load(manifest).spec
    told = [name.replace("trial.resources", "trial's resources") if own else name for name in said]

    assert told == command.ignored(spec)
    assert int(limits.get("nvidia.com/gpu", 1)) == spec.trial.ranks_per_node


def test_a_sweep_that_fails_says_so_and_how_each_trial_failed(desk: Desk) -> None:
    (desk.folder / "trial.py").write_text("raise SystemExit('no luck')")
    desk.write(a_manifest(retries={"errors": 0}, maxFailedTrials=0))
    status, said = desk.run()

    assert 1 == status
    assert "Error" in said
    assert "exit status 1: no luck" in said
    assert "Failed: TooManyFailed" in said


def test_a_best_at_the_end_of_its_range_is_told_when_the_sweep_has_ended(desk: Desk) -> None:
    desk.go()
    desk.write(a_manifest(parameters=[{"name": "x", "float": {"min": 1, "max": 3}}]))
    status, said = desk.run()
    _, shown, _ = invoke("show", str(desk.folder / "runs/own"))

    line = "best x 1 lies at the lower end of 1 to 3: widen it"
    assert (0, 1, 1) == (status, said.splitlines().count(line), shown.splitlines().count(line)), said


REFUSED = "model: must be one of mlp, conv, but found none"


def test_a_sweep_whose_trials_all_refuse_their_configuration_has_failed(desk: Desk) -> None:
    tells = f"import os; open(os.environ['HYPERSWEEP_TERMINATION_LOG'], 'w').write({REFUSED!r}); os._exit(78)"
    (desk.folder / "trial.py").write_text(tells)
    desk.write(a_manifest(strategy={"grid": {"points": 2}}))
    status, said = desk.run()
    shown, table, _ = invoke("show", str(desk.folder / "runs/own"))

    why = f"no trial came to a result: InvalidConfig: exit status 78: {REFUSED} (2 trials)"
    assert 1 == status, said
    assert f"Failed: NoResult: all 2 trials ran; {why}" in said
    assert "best: none, for no trial came to a result" in said
    assert (0, True) == (shown, "best: none, for no trial came to a result" in table)


def test_results_go_below_the_store_that_is_asked_for(desk: Desk) -> None:
    desk.go()
    status, said = desk.run("--store", "elsewhere")

    assert (0, True) == (status, (desk.folder / "elsewhere/own/journal/000000.jsonl").exists()), said


def test_results_may_go_to_s3(
    desk: Desk, s3: Any, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    desk.go()
    status, said = desk.run("--store", "s3://sweeps/here")
    shown, table, _ = invoke("show", "s3://sweeps/here")

    assert (0, 0, "own: grid, 5/5 trials") == (status, shown, table.partition("\n")[0]), said


def test_the_built_in_trainer_trains(desk: Desk) -> None:
    spec = {
        "objectives": [{"metric": "val_loss", "goal": "minimize"}],
        "parameters": [{"name": "lr", "float": {"min": 1e-3, "max": 1e-1, "scale": "log"}}],
        "strategy": {"grid": {"points": 2}},
        "trainer": {"data": "diabetes", "epochs": 1},
    }
    desk.write({**a_manifest(), "spec": spec})
    status, said = desk.run("--parallel", "1")

    assert (0, Counter(range(2))) == (status, desk.final_results()), said


# -- commands that only look


def test_a_sweep_that_starts_from_one_that_never_ran_says_so(desk: Desk) -> None:
    desk.write(
        a_manifest(
            objectives=[{"metric": "val_loss", "goal": "minimize"}],
            parameters=[{"name": "lr", "float": {"min": 0.01, "max": 1}}],
            trainer={"data": "digits", "pretrained": "sweep://base/best"},
            trial={},
        )
    )
    status, said = desk.run()

    assert (1, True) == (status, "Error: pretrained: sweep base must have run here" in said), said


def invoke(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.main, list(arguments), input=stdin)
    return result.exit_code, result.stdout, result.stderr


def test_show_tells_the_trials_of_an_interrupted_run(desk: Desk) -> None:
    process = desk.start()
    desk.await_starts(3)
    process.kill()
    process.wait()
    status, said, _ = invoke("show", str(desk.folder / "runs"))

    assert (0, "own: grid, 1/5 trials") == (status, said.splitlines()[0])
    assert "best: loss 4: x=-2" in said


def test_show_says_when_there_is_no_sweep(tmp_path: Path) -> None:
    status, _, said = invoke("show", str(tmp_path))

    assert (1, f"Error: {tmp_path}: one sweep must lie there, but there is no journal\n") == (status, said)


def test_validate_says_everything_at_once(tmp_path: Path) -> None:
    manifest = a_manifest(parallelism=-1, unknown=1)
    status, _, said = invoke("validate", "-", stdin=json.dumps(manifest))

    assert (1, "-: 2 problems") == (status, said.splitlines()[0])
    assert all(name in said for name in ("spec.parallelism: ", "spec.unknown: "))


def test_validate_accepts_several_documents_and_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(yaml.safe_dump_all([a_manifest(), a_manifest()]))
    two.write_text(yaml.safe_dump(a_manifest()))
    status, said, _ = invoke("validate", str(one), str(two))

    assert (0, f"{one} (own): valid\n{one} (own): valid\n{two}: valid\n") == (status, said)


@pytest.mark.parametrize("text", [None, "", "a: [", "\0"])
def test_what_cannot_be_read_is_a_wrong_command_line(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "manifest.yaml"
    if text is not None:
        path.write_text(text)
    status, _, said = invoke("validate", str(path))

    assert 2 == status
    assert said.startswith("Error: ")


def test_crd_prints_the_definition() -> None:
    assert (0, crd.text(), "") == invoke("crd")


def test_the_version_is_the_package_s() -> None:
    status, said, _ = invoke("--version")

    assert (0, True) == (status, said.startswith("hypersweep, version "))


def test_a_sweep_s_output_fits_into_eighty_columns(desk: Desk) -> None:
    desk.go()
    desk.run()
    shown = subprocess.run(
        [HYPERSWEEP, "show", "runs/own"],
        cwd=desk.folder,
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert 80 >= max(map(len, shown.splitlines()))


def test_the_guard_of_a_killed_run_removes_its_scratch_folder(desk: Desk) -> None:
    scratch = desk.folder / "tmp"
    scratch.mkdir()
    process = subprocess.Popen(
        [HYPERSWEEP, "run", "own.yaml"],
        cwd=desk.folder,
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL,
    )
    desk.await_starts(3)
    process.kill()
    process.wait()
    desk.go()
    desk.run()  # it gets the lock once the guard is done

    assert [] == list(scratch.iterdir())
    shutil.rmtree(scratch)
