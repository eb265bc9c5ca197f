"""The commit of a user's own code, as git itself says it, and the packages of a run."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from hypersweep_trainer.environment import commit, software
from tests.trainer.runs import an_environment, left, train


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    said = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True
    )
    return said.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    git(tree, "init", "-q")
    git(tree, "commit", "-q", "--allow-empty", "-m", "first")
    return tree


def test_the_commit_of_a_work_tree_is_found_from_any_folder_of_it(tree: Path) -> None:
    (tree / "a/b").mkdir(parents=True)
    first = git(tree, "rev-parse", "HEAD")
    assert {first} == {commit(tree), commit(tree / "a/b")}
    git(tree, "commit", "-q", "--allow-empty", "-m", "second")
    second = git(tree, "rev-parse", "HEAD")

    assert second == commit(tree) != first
    git(tree, "checkout", "-q", first)
    assert first == commit(tree)


def test_packed_branches_and_further_work_trees_are_read_too(tree: Path, tmp_path: Path) -> None:
    first = git(tree, "rev-parse", "HEAD")
    git(tree, "branch", "other")
    git(tree, "pack-refs", "--all")
    assert first == commit(tree)
    git(tree, "worktree", "add", "-q", str(tmp_path / "further"), "other")
    assert first == commit(tmp_path / "further")
    git(tmp_path / "further", "commit", "-q", "--allow-empty", "-m", "second")

    assert git(tmp_path / "further", "rev-parse", "HEAD") == commit(tmp_path / "further") != first


def test_where_nothing_is_committed_there_is_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert commit(tmp_path) is None
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/.git").write_bytes(b"\xff\xfe")

    assert commit(tmp_path / "broken") is None


def test_a_trial_tells_what_it_stands_on(tmp_path: Path) -> None:
    train(an_environment(tmp_path))
    found = left(tmp_path, "environment.json")

    assert software().items() <= found.items()
    assert np.__version__ == found["packages"]["numpy"]
    assert (torch.__version__, "cpu", 1) == (found["torch"], found["device"], found["ranks"])
    assert {"data", "split"} <= found.keys()
    assert commit(Path.cwd()) == found["commit"]
