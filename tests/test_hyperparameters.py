"""`hypersweep hyperparameters`: every option of the trainer in a terminal, and one of them in full."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hypersweep import cli
from hypersweep.document import read
from hypersweep.parameterspec import ParameterSpec
from hypersweep_trainer.options import OPTIONS, PRESETS, Option, described

HYPERSWEEP = Path(sys.executable).with_name("hypersweep")


def printed(*arguments: str, width: int = 100) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.main, ["hyperparameters", *arguments], env={"COLUMNS": str(width)})
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("width", [80, 100, 120])
def test_all_options_fit_into_a_terminal_and_no_name_is_cut(width: int) -> None:
    code, said, _ = printed(width=width)
    lines = said.splitlines()

    assert 0 == code
    assert width >= max(map(len, lines))
    assert set(OPTIONS) <= {line.split()[0] for line in lines if line and not line.startswith(" ")}


def test_options_stand_in_their_groups_with_default_values_and_meaning() -> None:
    _, said, _ = printed(width=120)
    lines = said.splitlines()
    headings = [lines.index(option.group) for option in OPTIONS.values()]
    row = next(line for line in lines if line.startswith("momentum "))

    assert headings == sorted(headings)
    assert ["momentum", "0.9", "0", "to", "0.9999", "Share"] == row.split()[:6]


@pytest.mark.parametrize("name", OPTIONS)
def test_one_option_is_printed_with_all_that_is_known_of_it(name: str) -> None:
    code, said, _ = printed(name, width=80)
    flat = " ".join(said.split())

    assert 0 == code
    assert 80 >= max(map(len, said.splitlines()))
    assert flat.startswith(f"{name} {OPTIONS[name].meaning}")
    for heading, words in described(OPTIONS[name]):
        assert f"{heading} {' '.join(words.split())}" in flat


def test_an_option_reads_like_this() -> None:
    _, said, _ = printed("label_smoothing", width=200)

    assert [line.rstrip() for line in said.splitlines()] == [
        "label_smoothing  Share of the target that is spread evenly over all classes.",
        "  Default      0",
        "  Values       a number from 0 to 0.9 (probability)",
        "  Needs        target classification or tokens, loss cross_entropy, bce or focal",
        "  Hint         0.1.",
        "  First sweep  {name: label_smoothing, float: {min: 0, max: 0.2}}",
        "  Shows        from the first step on",
        "  Impact       Low",
        "  Source       arXiv 1512.00567",
    ]


def test_defaults_stand_with_what_they_depend_on() -> None:
    _, said, _ = printed("momentum", width=200)

    assert "  Default      0.9; 0 with optimizer rmsprop; 0.95 with optimizer muon" in [
        line.rstrip() for line in said.splitlines()
    ]


def test_what_nobody_sweeps_says_why() -> None:
    _, said, _ = printed("threads", width=200)

    assert "  First sweep  none: the results stay the same" in [line.rstrip() for line in said.splitlines()]


def test_what_a_preset_sets_is_printed_with_the_option() -> None:
    _, said, _ = printed("preset", width=2000)
    rows = {line.split()[0]: line for line in said.splitlines()}

    for name, values in PRESETS.items():
        assert all(f" {key} " in rows[name] for key in values)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "learning_rate",
            "learning_rate is not an option of the built-in trainer; did you mean lr or min_lr_ratio?",
        ),
        ("momentun", "momentun is not an option of the built-in trainer; did you mean momentum?"),
        ("LR", "LR is not an option of the built-in trainer; did you mean lr?"),
        ("num_layers", "num_layers is not an option of the built-in trainer; did you mean depth?"),
        ("zzz", "zzz is not an option of the built-in trainer"),
    ],
)
def test_an_unknown_name_is_refused_with_near_ones(name: str, expected: str) -> None:
    assert (2, "", f"Error: {expected}\n") == printed(name)


SWEEPABLE = [option for option in OPTIONS.values() if option.first_sweep]


@pytest.mark.parametrize("option", SWEEPABLE, ids=lambda option: option.name)
def test_a_first_sweep_can_be_pasted_into_a_manifest(option: Option) -> None:
    line = dict(described(option))["First sweep"]
    parameter = ParameterSpec.model_validate(read(line)[0], by_name=False).parameter
    domain: Any = parameter.cases[0].domain
    values = domain.values if hasattr(domain, "values") else (domain.min, domain.max)

    assert option.name == parameter.name
    assert [option.accept(value) for value in values] == list(option.first_sweep)


def test_the_command_does_not_import_torch() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from hypersweep import cli; "
        "CliRunner().invoke(cli.main, ['hyperparameters', 'lr']); print(*sys.modules)"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert "hypersweep.hyperparameters" in modules.split()
    assert not {"torch", "timm", "sklearn", "pyarrow", "boto3", "kopf"} & set(modules.split())


def test_the_installed_command_prints_the_table() -> None:
    said = subprocess.run(
        [HYPERSWEEP, "hyperparameters", "depth"], capture_output=True, text=True, check=True
    ).stdout

    assert said.startswith("depth  Number of hidden layers or blocks.")
