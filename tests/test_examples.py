"""Every example is a valid manifest, and the built-in ones ask only for what the trainer can do."""

from pathlib import Path

import pytest

from hypersweep.api import load, problems
from hypersweep.document import read
from hypersweep.searchspec import Iterative

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_with_and_without_a_store(path: Path) -> None:
    manifest = read(path.read_text())[0]

    assert problems(manifest) == []
    assert problems(manifest, durable=False) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_named_after_its_file(path: Path) -> None:
    assert load(path.read_text()).metadata.name == path.stem


def test_the_examples_cover_each_way_to_use_it() -> None:
    assert [path.stem for path in EXAMPLES] == [
        "breast-cancer",
        "ddp",
        "diabetes",
        "digits",
        "own-container",
        "own-script",
    ]


def test_the_demonstration_starts_poor_and_takes_several_stages() -> None:
    spec = load((EXAMPLES[0].parent / "digits.yaml").read_text()).spec
    iterative = spec.strategy.iterative

    assert isinstance(iterative, Iterative)
    assert spec.space.start()["lr"] == 1e-4
    assert len(iterative.stages) >= 3
    assert iterative.final is not None
    assert (spec.max_trials or 0) <= 60


def test_distributed_training_takes_two_nodes() -> None:
    assert load((EXAMPLES[0].parent / "ddp.yaml").read_text()).spec.trial.nodes == 2
