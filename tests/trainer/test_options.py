"""The table of options: each is complete, what it needs can be, and nothing waits for itself."""

import subprocess
import sys
from dataclasses import fields
from graphlib import TopologicalSorter

import pytest

from hypersweep_trainer.options import OPTIONS, Options
from hypersweep_trainer.options.branch import influences
from hypersweep_trainer.options.facts import READS
from hypersweep_trainer.options.option import (
    ASKED,
    CARRIED,
    HORIZONS,
    MEASURED,
    TASKS,
    AtLeast,
    Needs,
    Option,
)

IMPACT = {  # where practitioners agree
    "High": {
        "rand_augment_n", "mixup_alpha", "cutmix_alpha", "num_encoder", "cat_encoder", "emb_dim",
        "image_norm", "flip", "crop_pad", "width", "hidden", "pretrained", "freeze", "unfreeze_epoch",
        "epochs", "lr", "loss", "noise", "swap_noise", "token_drop", "span_mask", "quantiles",
        "rankgauss_unit",
    },
    "Medium": {"image_size", "depth", "init", "dropout", "dropout_scale", "batch_size", "schedule", "warmup"},
    "Low": {
        "coordconv", "pos_enc", "activation", "residual", "stochastic_depth", "dropconnect", "optimizer",
        "patience", "weight_decay", "l2", "label_smoothing",
    },
    "": {"norm", "sync_bn", "tie_weights", "se_ratio", "target_norm"},
}  # fmt: skip


def needs(option: Option) -> list[Needs]:
    return [option.conditions, *option.value_needs.values(), *(needs for needs, _ in option.defaults)]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_complete_and_its_own_values_lie_in_its_domain(name: str) -> None:
    option = OPTIONS[name]
    sweep = option.first_sweep

    assert name == option.name
    assert option.meaning.endswith(".")
    assert option.hint == "" or option.hint.endswith(".")
    assert option.horizon in HORIZONS
    assert option.impact in ("", "High", "Medium", "Low")
    assert set(option.tasks) <= set(TASKS)
    assert set(option.value_needs) <= {*option.values, *option.words, "true"}
    for value in (option.default, *(value for _, value in option.defaults), *sweep):
        assert value == option.accept(value)
    if option.numeric:
        assert sweep == tuple(sorted(sweep))
        assert not option.log or not sweep or sweep[0] > 0


def test_every_option_has_a_source_and_a_first_sweep_or_a_reason_to_have_none() -> None:
    reasons = {option.unswept for option in OPTIONS.values() if not option.first_sweep}

    assert [] == [name for name, option in OPTIONS.items() if not option.source]
    assert [] == [
        name for name, option in OPTIONS.items() if bool(option.first_sweep) == bool(option.unswept)
    ]
    assert {ASKED, MEASURED, CARRIED} < reasons
    with pytest.raises(AssertionError, match="an option needs a source: How much"):
        Option("much", "bool", False, "How much.", first_sweep=(False, True))
    with pytest.raises(AssertionError, match="a sweep, or why there is none: How much"):
        Option("much", "bool", False, "How much.", source="ours")


@pytest.mark.parametrize("name", OPTIONS)
def test_needs_name_options_or_facts_and_values_that_these_can_have(name: str) -> None:
    for need in needs(OPTIONS[name]):
        for gate, allowed in need.items():
            assert gate in OPTIONS or gate in READS
            assert not isinstance(allowed, AtLeast) or OPTIONS[allowed.option].numeric
            if gate in OPTIONS and isinstance(allowed, tuple):
                assert list(allowed) == [OPTIONS[gate].accept(value) for value in allowed]


def test_no_option_waits_for_itself() -> None:
    waits = {
        name: influences(name) - {name} - set(READS) - {"data", "preset"}
        for name in OPTIONS
        if name not in READS
    }

    assert len(list(TopologicalSorter(waits).static_order())) >= len(waits)


def test_the_typed_configuration_and_the_table_hold_the_same_defaults() -> None:
    assert {entry.name: entry.default for entry in fields(Options)} == {
        name: option.default for name, option in OPTIONS.items()
    }


def test_impacts_are_those_of_common_advice() -> None:
    of = {impact: {name for name, option in OPTIONS.items() if option.impact == impact} for impact in IMPACT}

    assert IMPACT == {impact: names & set().union(*IMPACT.values()) for impact, names in of.items()}


def test_the_table_is_read_without_torch_numpy_or_pydantic() -> None:
    code = "import sys, hypersweep_trainer.options; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert not {"torch", "numpy", "pydantic", "boto3", "sklearn"} & set(modules.split())
