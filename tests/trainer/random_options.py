"""Random sweeps over the table of options: nothing that it admits may break a trial, or its resumption.

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

from hypersweep import contract
from hypersweep_trainer.options import OPTIONS, check, facts, resolve
from hypersweep_trainer.options.option import Option
from tests.trainer.runs import an_environment, curve, left, message, stop_after, train

SWEPT, TRIALS = 20, 40
INTERRUPTED = 4  # every fourth trial is also stopped on its way
RARE = 0.2  # how often the ends of a domain stand in for what one would sweep
SMALL: Mapping[str, Any] = {"epochs": 3, "batch_size": 16, "width": 8, "depth": 2}
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
    ),
    "sequence": (
        {"data": "markov", "synthetic_rows": 40, "context": 8},
        {"data": "brackets", "synthetic_rows": 80, "context": 8},
    ),
}
LEFT_OUT = (  # they choose the data, need files or other ranks, or cost seconds
    "data", "task", "target", "format", "label", "features", "categorical", "tokenizer", "cache_dir",
    "resident", "loader_workers", "compile", "threads",
)  # fmt: skip
REPRESENTATIVE: Mapping[str, Sequence[Any]] = {  # where the table's own are large, few, or ask for more rows
    "model": ("mlp", "cnn", "transformer"), "hidden": ([5], [8, 3, 4]), "width": (2, 16), "depth": (1, 3),
    "epochs": (1, 3), "batch_size": (1, 64), "base_batch": (1, 256), "context": (4, 16),
    "synthetic_rows": (40, 100), "synthetic_seed": (0, 7), "split_seed": (0, 7),
    "subset_fraction": (0.1, 0.5), "val_fraction": (0.05, 0.4), "test_fraction": (0.0, 0.4),
    "folds": (0, 2, 3), "fold": (0, 1), "metrics": ([],), "missing": ("median", "mean"),
    "image_size": (4, 16), "test_size": (4, 16), "emb_dim": (1, 16), "quantiles": (10, 100_000),
    "kernel": (1, 4), "dilation": (1, 5), "aspp_rates": ([], [1, 7]), "heads": (1, 5),
    "mlp_ratio": (0.25, 4.0), "patch": (1, 3), "norm_groups": (1, 16),
    "output_range": ([-1000.0, 1000.0], [0.0, 2000.0]), "pretrained": ("",), "freeze": ([],),
    "unfreeze_epoch": (0, 2), "pretrain": ("none", "autoencoder", "masked", "lm"), "pretrain_epochs": (1, 2),
    "patience": (0, 1), "preset": ("none", "scratch", "mlp-table", "cnn-image", "transformer-text"),
    "grad_accum": (1, 5), "repeated_augmentation": (1, 16), "step_every": (1, 2), "plateau_patience": (0, 1),
    "checks": ("off", "warn"), "log_steps": (0, 1), "checkpoint_epochs": (0, 1),
    "checkpoint_seconds": (0.0, 10.0),
}  # fmt: skip


# -- a sweep that the operator admits


@dataclass(frozen=True)
class Sweep:
    """Fixed options, and of each swept one the ends of its range or the values of its choice."""

    fixed: Mapping[str, Any]
    swept: Mapping[str, Sequence[Any]]

    @property
    def groups(self) -> set[str]:
        return {OPTIONS[name].group for name in self.swept}


def a_sweep(task: str, random: Random) -> Sweep:
    """Twenty options, one of each group at least that can have an effect on the data, beside some others."""
    sweep = Sweep({**random.choice(DATA[task]), **SMALL}, {})
    names = [name for name in OPTIONS if name not in LEFT_OUT]
    random.shuffle(names)
    for group in reversed(
        dict.fromkeys(option.group for option in OPTIONS.values())
    ):  # the most demanding first
        sweep = sweeping(sweep, [name for name in names if OPTIONS[name].group == group], random, 1)
    for name in names[-len(names) // 4 :]:  # those that sweeping comes to last
        sweep = sweep if name in sweep.swept else fixing(sweep, name, random)
    return sweeping(sweep, names, random, SWEPT - len(sweep.swept))


def fixing(sweep: Sweep, name: str, random: Random) -> Sweep:
    """The sweep with an option fixed, or as it was where the table refuses all values."""
    found = values(OPTIONS[name], random)
    random.shuffle(found)
    tried = (admitted({**sweep.fixed, name: value}, sweep.swept, name) for value in found)
    return next((one for one in tried if one is not None), sweep)


def sweeping(sweep: Sweep, names: Sequence[str], random: Random, count: int) -> Sweep:
    """The sweep with up to `count` more of these options swept, over all values that the table admits."""
    wanted = len(sweep.swept) + count
    for name in names:
        if name in sweep.swept or len(sweep.swept) >= wanted:
            continue
        fixed = {key: value for key, value in sweep.fixed.items() if key != name}
        domain = [
            value
            for value in values(OPTIONS[name], random)
            if admitted(fixed, {**sweep.swept, name: [value]}, name)
        ]
        if len(domain) > 1:
            sweep = admitted(fixed, {**sweep.swept, name: domain}, name) or sweep
    return sweep


def admitted(fixed: Mapping[str, Any], swept: Mapping[str, Any], name: str) -> Sweep | None:
    """A sweep without fixed options that are refused beside `name`; None where that is not all there is."""
    while problems := check(fixed, swept):
        refused = {problem.partition(":")[0] for problem in problems}
        assert refused <= OPTIONS.keys(), problems
        if not refused <= fixed.keys() - {name, *facts.OF_DATA}:
            return None
        fixed = {key: value for key, value in fixed.items() if key not in refused}
    return Sweep(fixed, swept)


def values(option: Option, random: Random) -> list[Any]:
    """What stands for an option's domain: what one would sweep, now and then the ends of all."""
    if option.name in REPRESENTATIVE:
        return [*REPRESENTATIVE[option.name]]
    if option.kind == "bool":
        return [False, True]
    if option.values:
        return random.sample(option.values, random.randint(2, len(option.values)))
    low, *_, high = option.first_sweep or (option.default, option.high)
    ends = (random.choice((option.low, low)), random.choice((option.high, high)))
    return [*dict.fromkeys(ends if random.random() < RARE else (low, high))]


def configuration(sweep: Sweep, random: Random) -> dict[str, Any]:
    """What a random search draws; ends of ranges more often than chance would."""
    return {name: _drawn(OPTIONS[name], domain, random) for name, domain in sweep.swept.items()}


def _drawn(option: Option, domain: Sequence[Any], random: Random) -> Any:
    if not option.numeric or random.random() < 0.5:
        return random.choice(domain)
    low, high = min(domain), max(domain)
    value = low * (high / low) ** random.random() if option.log and low > 0 else random.uniform(low, high)
    return round(value) if option.kind == "int" else value


# -- its trials


def broken(task: str, seed: object, root: Path) -> Iterator[str]:
    """What is wrong with trials of a random sweep, each with all that repeats it."""
    random = Random(f"{seed}/{task}")
    sweep = a_sweep(task, random)
    for number in range(TRIALS):
        given = {
            "HYPERSWEEP_TRAINER": json.dumps(sweep.fixed),
            "HYPERSWEEP_PARAMETERS": json.dumps(configuration(sweep, random)),
            "HYPERSWEEP_SEED": str(number),
            "HYPERSWEEP_FINAL": random.choice("01"),
        }
        whole, parts = root / f"{number}", root / f"{number}-stopped"
        wrong = trial(whole, given)
        if not wrong and number % INTERRUPTED == 0 and not refused(given):
            wrong = interrupted(whole, parts, given, random)
        if wrong:
            yield f"seed {seed}, {task}, trial {number}: {wrong}\n{given}"


def trial(root: Path, given: Mapping[str, str]) -> str:
    """Run it; what is wrong with how it ended."""
    code = train({**an_environment(root), **given})
    if code == contract.EXIT_CONFIG:
        return "" if refused(given) else f"the table admits what is refused: {message(root)}"
    if code != contract.EXIT_DONE:
        return f"exit code {code}: {message(root)}"
    result = left(root, "result.json")
    if result["status"] == "infeasible":
        numerical = re.match(r"\w+ is not finite after|diverged: ", result["reason"])
        return "" if numerical else f"infeasible: {result['reason']}"
    wrong = [name for name, entry in result["metrics"].items() if not math.isfinite(entry["value"])]
    return f"{wrong} are not finite" if wrong or not result["metrics"] else ""


def refused(given: Mapping[str, str]) -> bool:
    """Whether the table itself refuses a configuration."""
    try:
        resolve(json.loads(given["HYPERSWEEP_TRAINER"]), json.loads(given["HYPERSWEEP_PARAMETERS"]))
    except ValueError:
        return True
    return False


def interrupted(whole: Path, parts: Path, given: Mapping[str, str], random: Random) -> str:
    """Run the trial once more, in two attempts; what is wrong with how it went on."""
    stop = random.randint(1, left(whole, "result.json")["steps"])
    codes = [
        train({**an_environment(parts), **given}, stop_after(stop)),
        train({**an_environment(parts, attempt=1), **given}),
    ]
    if codes != [contract.EXIT_STOPPED, contract.EXIT_DONE]:
        return f"exit codes {codes} with a stop at step {stop}: {message(parts)}"
    if curve(whole) != curve(parts, 0, 1) or _weights(whole, 0) != _weights(parts, 1):
        return f"another result after a stop at step {stop}"
    return ""


def _weights(root: Path, attempt: int) -> bytes:
    file = root / f"attempts/{attempt}/model/weights.safetensors"
    return file.read_bytes() if file.exists() else b""


def main() -> None:
    """Print what is wrong with the sweeps of some seeds."""
    wrong = 0
    for seed in sys.argv[1:]:
        for task in DATA:
            with tempfile.TemporaryDirectory() as folder:
                for words in broken(task, seed, Path(folder)):
                    print(words, file=sys.stderr, flush=True)
                    wrong += 1
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
