"""Random sweeps over the option table: nothing that it admits may break a trial.

`python -m tests.trainer.random_options SEED…` looks beyond the seed that the tests hold on to.
"""

import json
import math
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from hypersweep.contract import EXIT_CONFIG, EXIT_DONE
from hypersweep_trainer.options import OPTIONS, check, resolve
from hypersweep_trainer.options.option import Option
from tests.trainer.runs import an_environment, left, message, train

SWEPT, TRIALS = 20, 40
SMALL: Mapping[str, Any] = {"epochs": 2, "batch_size": 16, "width": 8, "depth": 2}
DATA: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "image": (
        {"data": "digits", "subset_fraction": 0.05},
        {"data": "digits", "subset_fraction": 0.05, "target": "reconstruction"},
        {"data": "synthetic_images", "synthetic_rows": 60, "image_size": 8},
    ),
    "tabular": (
        {"data": "synthetic_table", "synthetic_rows": 100},
        {"data": "synthetic_table", "synthetic_rows": 100, "target": "reconstruction"},
        {"data": "synthetic_curve", "synthetic_rows": 80},
        {"data": "diabetes", "subset_fraction": 0.2},
        {"data": "breast_cancer", "subset_fraction": 0.2},
        {"data": "iris"},
        {"data": "wine"},
        {"data": "digits", "task": "tabular", "subset_fraction": 0.05},
    ),
    "sequence": (
        {"data": "markov", "synthetic_rows": 40, "context": 8},
        {"data": "brackets", "synthetic_rows": 80, "context": 8},
    ),
}
LEFT_OUT = (  # they choose the data, need files, or take seconds to begin
    "data", "task", "target", "format", "label", "features", "categorical", "tokenizer", "cache_dir", "resident",
    "loader_workers", "compile", "threads",
)  # fmt: skip
REPRESENTATIVE: Mapping[str, Sequence[Any]] = {  # where the table's own values are large, or few
    "model": ("mlp", "cnn", "transformer"), "hidden": ([5], [8, 3, 4]), "width": (2, 16), "depth": (1, 3),
    "epochs": (1, 2), "batch_size": (1, 64), "base_batch": (1, 256), "context": (4, 16), "synthetic_rows": (40, 100),
    "synthetic_seed": (0, 7), "split_seed": (0, 7), "subset_fraction": (0.05, 0.5), "val_fraction": (0.05, 0.4),
    "test_fraction": (0.0, 0.4), "folds": (0, 2, 3), "fold": (0, 1), "metrics": ([],), "image_size": (4, 16),
    "test_size": (4, 16), "emb_dim": (1, 16), "quantiles": (10, 100_000), "grad_accum": (1, 5), "kernel": (1, 4),
    "aspp_rates": ([], [1, 9]), "dilation": (1, 9), "heads": (1, 5), "mlp_ratio": (0.25, 4.0), "patch": (1, 9),
    "norm_groups": (1, 16), "output_range": ([-1000.0, 1000.0], [0.0, 1.0]), "pretrained": (""), "freeze": (["body.*"],),
    "pretrain_epochs": (1, 2), "repeated_augmentation": (1, 16), "unfreeze_epoch": (0, 2), "patience": (0, 1),
    "preset": ("none", "scratch", "mlp-table", "cnn-image", "transformer-text"), "step_every": (1, 2),
    "plateau_patience": (0, 1), "checks": ("off", "warn"), "log_steps": (0, 1),
    "missing": ("median", "mean"), "checkpoint_epochs": (0, 1), "checkpoint_seconds": (0.0, 10.0),
}  # fmt: skip


@dataclass(frozen=True)
class Sweep:
    """What the operator would admit: fixed options, and values of others."""

    fixed: Mapping[str, Any]
    swept: Mapping[str, Sequence[Any]]  # the ends of a range, some values of a choice


def a_sweep(task: str, random: Random, count: int = SWEPT) -> Sweep:
    """A sweep of `count` options, one of each group at least that can have an effect beside the others."""
    sweep = Sweep({**random.choice(DATA[task]), **SMALL}, {})
    names = [name for name in OPTIONS if name not in LEFT_OUT]
    random.shuffle(names)
    for name in names[-len(names) // 4 :]:  # sweeping begins at the other end
        sweep = fixing(sweep, name, random)
    for group in dict.fromkeys(option.group for option in OPTIONS.values()):
        members = [name for name in names if OPTIONS[name].group == group]
        sweep = sweeping(sweep, members, random, 1)
    return sweeping(sweep, names, random, count - len(sweep.swept))


def fixing(sweep: Sweep, name: str, random: Random) -> Sweep:
    """The sweep with one more option fixed, or as it was where the table refuses all values."""
    for value in random.sample(found := values(OPTIONS[name], random), len(found)):
        with_it = admitted(Sweep({**sweep.fixed, name: value}, sweep.swept), name)
        if with_it is not None:
            return with_it
    return sweep


def sweeping(sweep: Sweep, names: Sequence[str], random: Random, count: int) -> Sweep:
    """The sweep with up to `count` more options swept."""
    wanted = len(sweep.swept) + count
    for name in names:
        if len(sweep.swept) >= wanted:
            break
        if name in sweep.swept:
            continue
        fixed = {key: value for key, value in sweep.fixed.items() if key != name}
        domain = [
            value
            for value in values(OPTIONS[name], random)
            if admitted(Sweep(fixed, {**sweep.swept, name: [value]}), name) is not None
        ]
        if len(domain) < 2:
            continue
        with_it = admitted(Sweep(fixed, {**sweep.swept, name: domain}), name)
        sweep = sweep if with_it is None else with_it
    return sweep


def admitted(sweep: Sweep, name: str) -> Sweep | None:
    """The sweep without what the table refuses beside `name`; None where it refuses `name` itself."""
    while problems := check(sweep.fixed, sweep.swept):
        refused = {problem.partition(":")[0] for problem in problems}
        assert refused <= OPTIONS.keys(), problems
        if name in refused or not refused & {*sweep.fixed, *sweep.swept}:
            return None
        fixed, swept = (
            {key: value for key, value in part.items() if key not in refused}
            for part in (sweep.fixed, sweep.swept)
        )
        sweep = Sweep(fixed, swept)
    return sweep


def values(option: Option, random: Random) -> list[Any]:
    """Values that stand for an option's domain: now and then its ends, else what one would sweep."""
    if option.name in REPRESENTATIVE:
        return [*REPRESENTATIVE[option.name]]
    if option.kind == "bool":
        return [False, True]
    if option.values:
        return random.sample(option.values, random.randint(min(2, len(option.values)), len(option.values)))
    ends = option.first_sweep or (option.default, option.low)
    if random.random() < 0.2:
        ends = (random.choice((option.low, ends[0])), random.choice((option.high, ends[-1])))
    return [*dict.fromkeys(ends)]


def configuration(sweep: Sweep, random: Random) -> dict[str, Any]:
    """What a random search draws."""
    return {name: drawn(OPTIONS[name], domain, random) for name, domain in sweep.swept.items()}


def drawn(option: Option, domain: Sequence[Any], random: Random) -> Any:
    if not option.numeric or random.random() < 0.5:
        return random.choice(domain)
    low, high = min(domain), max(domain)
    value = low * (high / low) ** random.random() if option.log and low > 0 else random.uniform(low, high)
    return round(value) if option.kind == "int" else value


def trials(task: str, seed: object, root: Path) -> Iterator[str]:
    """What is wrong with each trial of a random sweep, with all that repeats it; nothing where all is well."""
    random = Random(f"{seed}/{task}")
    sweep = a_sweep(task, random)
    for number in range(TRIALS):
        parameters = configuration(sweep, random)
        environment = an_environment(
            root / str(number),
            HYPERSWEEP_TRAINER=json.dumps(sweep.fixed),
            HYPERSWEEP_PARAMETERS=json.dumps(parameters),
            HYPERSWEEP_SEED=str(number),
            HYPERSWEEP_FINAL=random.choice("01"),
        )
        if wrong := trial(environment, root / str(number)):
            found = {"fixed": sweep.fixed, "parameters": parameters}
            yield f"seed {seed}, {task}, trial {number}: {wrong}\n{json.dumps(found)}"


def trial(environment: Mapping[str, str], root: Path) -> str:
    """Run it; what is wrong with how it ended, nothing where all is well."""
    code = train(environment)
    if code == EXIT_CONFIG:
        return "" if refused(environment) else f"refused by something else than the table: {message(root)}"
    if code != EXIT_DONE:
        return f"exit code {code}: {message(root)}"
    result = left(root, "result.json")
    if result["status"] == "infeasible":
        numerical = re.match(r"\w+ is not finite after|diverged: ", result["reason"])
        return "" if numerical else f"infeasible: {result['reason']}"
    found = [name for name, entry in result["metrics"].items() if not math.isfinite(entry["value"])]
    return f"done, but {found} are not finite" if found else ""


def refused(environment: Mapping[str, str]) -> bool:
    try:
        resolve(*(json.loads(environment[f"HYPERSWEEP_{name}"]) for name in ("TRAINER", "PARAMETERS")))
    except ValueError:
        return True
    return False


def main() -> None:
    """Print what is wrong with the sweeps of some seeds."""
    for seed in sys.argv[1:]:
        for task in DATA:
            with tempfile.TemporaryDirectory() as folder:
                for wrong in trials(task, seed, Path(folder)):
                    print(wrong, flush=True)


if __name__ == "__main__":
    main()
