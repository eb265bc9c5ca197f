"""Every option of the table does something: where, its horizon says."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hypersweep.s3 import connect
from hypersweep_trainer.options import OPTIONS, check, resolve
from hypersweep_trainer.options.option import Above, AtLeast, Given, Option
from tests.s3 import endpoint
from tests.trainer.processes import a_port
from tests.trainer.runs import an_environment, curve, left, start, train

__all__ = ["endpoint"]

ROWS = {"epochs": 2, "batch_size": 32}
BASES: tuple[dict[str, Any], ...] = (  # tried in turn until the option has an effect
    {"data": "digits", "subset_fraction": 0.3, "width": 8, "depth": 1},
    {"data": "digits", "subset_fraction": 0.3, "model": "cnn", "width": 4, "depth": 2},
    {"data": "digits", "subset_fraction": 0.3, "model": "transformer", "width": 8, "depth": 1, "patch": 4},
    {"data": "diabetes", "width": 8, "depth": 1},
    {"data": "synthetic_table", "synthetic_rows": 200, "width": 8, "depth": 1},
    {"data": "synthetic_curve", "synthetic_rows": 200, "width": 8, "depth": 1, "target_norm": "none"},
    {"data": "synthetic_images", "synthetic_rows": 100, "model": "cnn", "width": 4, "depth": 1},
    {"data": "markov", "synthetic_rows": 40, "context": 16, "width": 8, "depth": 1},
    {"data": "brackets", "synthetic_rows": 100, "context": 16, "width": 8, "depth": 1},
    {"data": "digits", "subset_fraction": 0.3},
    {"data": "digits", "target": "reconstruction", "subset_fraction": 0.3, "width": 8, "depth": 1},
)
VALUES: dict[str, Any] = {  # where neither the first sweep nor the domain names one that a small run can show
    "data": "wine", "task": "tabular", "target": "reconstruction", "model": "cnn", "metrics": ["val_auroc"],
    "hidden": [5, 4], "output_range": [0.0, 400.0], "split_seed": 1, "synthetic_seed": 1, "test_size": 12,
    "image_size": 10, "context": 8, "synthetic_rows": 60, "folds": 3, "fold": 1, "test_fraction": 0.3,
    "val_fraction": 0.3, "subset_fraction": 0.5, "epochs": 3, "patience": 1, "min_delta": 1e9,
    "stratify": False,
    "preset": "cnn-image", "base_batch": 16, "kernel": 5, "aspp_rates": [1, 2], "se_ratio": 2, "heads": 2,
    "unfreeze_epoch": 2,
    "norm_groups": 2, "quantile": 0.9, "bce_threshold": 0.4, "grad_clip": 0.01, "l1": 0.1, "l2": 0.1,
    "ema": 0.9,
    "grad_noise": 1.0, "weight_decay": 1.0, "huber_delta": 0.01, "init_gain": 3.0, "synthetic_noise": 2.0,
    "step_every": 2, "step_factor": 0.5, "loader_workers": 1, "log_steps": 3, "threads": 2,
    "checkpoint_epochs": 2, "checkpoint_seconds": 0.0,
    "compile": "default", "context_length": 8, "restore_best": True, "eps": 0.1,
}  # fmt: skip
MORE: dict[str, dict[str, Any]] = {  # what else must be so that a small run can show it
    "min_delta": {"patience": 1, "epochs": 4},
    "patience": {"epochs": 12, "lr": 1.0, "optimizer": "sgd", "schedule": "constant"},
    "lr_scaling": {"batch_size": 64},
    "restore_best": {"epochs": 5, "lr": 1.0, "optimizer": "sgd", "schedule": "constant"},
    "bce_threshold": {"mixup_alpha": 1.0},
    "plateau_patience": {
        "schedule": "plateau",
        "epochs": 12,
        "lr": 1.0,
        "optimizer": "sgd",
        "step_factor": 0.5,
    },
    "step_every": {"epochs": 12, "schedule": "step"},
    "step_factor": {"epochs": 4, "schedule": "step", "step_every": 1},
    "unfreeze_epoch": {"epochs": 3},
    "base_batch": {"lr_scaling": "linear", "batch_size": 64},
    "min_lr_ratio": {"warmup": 0.0},
    "missing": {"num_encoder": "standard"},
    "pretrained": {"model": "cnn", "width": 4},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, endpoint: str) -> Iterator[Mapping[str, str]]:
    """A table, also in S3, a text, a folder of images, a model to start from, and a folder to come."""
    root = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    lines = ["a,b,kind,grade,price"]
    for number in range(120):
        kind = "xyz"[number % 3]
        lines.append(f"{random.normal():.3f},{number % 7},{kind},{number % 4},{'lo' if number % 3 else 'hi'}")
    (root / "table.csv").write_text("\n".join(lines))
    (root / "table.txt").write_text("\n".join(lines))
    (root / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 40)
    _images(root / "images", random)
    train(an_environment(root / "before", {**BASES[0], **ROWS, "model": "cnn", "width": 4}))
    client = connect(endpoint, None)
    client.create_bucket(Bucket="sweeps")
    client.upload_file(str(root / "table.csv"), "sweeps", "table.csv")
    names = ("table.csv", "table.txt", "text.txt", "images", "before/attempts/0/model", "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYPERSWEEP_STORE_ENDPOINT", endpoint)
        patch.setenv("XDG_CACHE_HOME", str(root / "usual"))
        yield {name: str(root / name) for name in names} | {"s3": "s3://sweeps/table.csv"}


def _images(folder: Path, random: np.random.Generator) -> None:
    from PIL import Image

    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def from_files(files: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    return (
        {"data": files["table.csv"], "width": 8, "depth": 1},
        {"data": files["table.txt"]},
        {"data": files["s3"], "width": 8, "depth": 1},
        {"data": files["text.txt"], "context": 8, "width": 8, "depth": 1},
        {"data": files["images"], "image_size": 8, "width": 8, "depth": 1},
        {**BASES[1], "width": 4, "depth": 1, "pretrained": files["before/attempts/0/model"], "split_seed": 3},
    )


OWN = {  # values of options that need files
    "label": "grade", "features": ["a", "b"], "categorical": ["grade"], "tokenizer": "bytes",
    "resident": "host",
    "format": "csv",
}  # fmt: skip


def settings(name: str, files: Mapping[str, str]) -> tuple[dict[str, Any], Any]:
    """A configuration in which the option has an effect, and another value of it."""
    option = OPTIONS[name]
    for base in (*BASES, *from_files(files)):
        given = {**ROWS, **base, **gates(option), **MORE.get(name, {})}
        for value in values(option, files):
            given = {**given, **gates_of(option, value)}
            fixed = {key: held for key, held in given.items() if key != name}
            if fits(fixed, {name: value}, option):
                return fixed, value
    raise AssertionError(f"{name}: no configuration shows it")


def fits(fixed: dict[str, Any], one: dict[str, Any], option: Option) -> bool:
    ranks = 2 if "ranks" in option.conditions else 1
    if check(fixed, {}, ranks=ranks) or check({**fixed, **one}, {}, ranks=ranks):
        return False
    return resolve(fixed, ranks=ranks).get(option.name) != resolve({**fixed, **one}, ranks=ranks)[option.name]


def gates(option: Option) -> dict[str, Any]:
    """What the needs of an option ask other options to be, theirs included."""
    found: dict[str, Any] = {}
    for gate, allowed in option.conditions.items():
        if (
            gate == "architecture"
            or gate not in OPTIONS
            or gate in ("task", "target", "format", "pretrained")
            or isinstance(allowed, AtLeast)
        ):
            continue
        found |= gates(OPTIONS[gate])
        found[gate] = met(OPTIONS[gate], allowed)
    return found


def gates_of(option: Option, value: Any) -> dict[str, Any]:
    needs = option.value_needs.get(value, {}) if isinstance(value, str) else {}
    return {
        gate: met(OPTIONS[gate], allowed)
        for gate, allowed in needs.items()
        if gate in OPTIONS and gate != "task"
    }


def met(option: Option, allowed: Any) -> Any:
    if isinstance(allowed, Above):
        return max(option.first_sweep) if option.first_sweep else allowed.bound + 1
    if isinstance(allowed, Given):
        return ["body.*"] if option.kind == "texts" else option.default
    return option.default if option.default in allowed else next(iter(allowed))


def values(option: Option, files: Mapping[str, str]) -> Iterator[Any]:
    """Values to try beside the one that the option has."""
    if option.name == "pretrained":
        yield files["before/attempts/0/model"]
    if option.name == "cache_dir":
        yield files["cache"]
    if option.name in VALUES | OWN:
        yield (VALUES | OWN)[option.name]
        return
    yield from (list(one) if isinstance(one, tuple) else one for one in reversed(option.first_sweep))
    yield from option.values
    if option.kind == "bool":
        yield from (True, False)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_does_what_its_horizon_says(name: str, tmp_path: Path, files: Mapping[str, str]) -> None:
    option = OPTIONS[name]
    given, value = settings(name, files)
    ranks = 2 if "ranks" in option.conditions else 1
    for folder, options in {"default": given, "other": {**given, name: value}}.items():
        assert 0 == _run(tmp_path / folder, options, ranks), (tmp_path / folder / "termination").read_text()

    default, other = curve(tmp_path / "default"), curve(tmp_path / "other")
    results = [left(tmp_path / folder, "result.json") for folder in ("default", "other")]
    match option.horizon:
        case "step":
            assert default[0] != other[0]
        case "epoch":
            assert default != other
            assert default[0] == other[0]
        case "evaluation":
            assert results[0]["metrics"] != results[1]["metrics"]
            assert [m["train_loss"] for _, m in default] == [m["train_loss"] for _, m in other]
        case "stop":
            assert results[0]["steps"] != results[1]["steps"]
        case "speed":
            assert results[0]["steps"] == results[1]["steps"]
            for metric, found in results[0]["metrics"].items():
                assert (
                    pytest.approx(found["value"], rel=1e-3, abs=1e-6)
                    == results[1]["metrics"][metric]["value"]
                )


def _run(root: Path, options: dict[str, Any], ranks: int) -> int:
    environment = {**an_environment(root, ranks=ranks), "HYPERSWEEP_TRAINER": json.dumps(options)}
    if ranks == 1:
        return train(environment)
    return start({**environment, "PET_MASTER_PORT": a_port()}).wait(timeout=120)
