"""Every hyperparameter of the built-in trainer, and what may be asked of them without running it.

Standard library only: the operator validates manifests against this table without importing torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice, product
from typing import Any

from hypersweep_trainer.option import Above, Needs, Option, choice, integer, integers, real, switch, table


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is loaded."""

    tasks: tuple[str, ...]  # how it can be seen; the first is what `task: auto` means
    target: str
    rows: int


DATASETS = {
    "digits": Dataset(("image", "tabular"), "classification", 1797),
    "breast_cancer": Dataset(("tabular",), "classification", 569),
    "diabetes": Dataset(("tabular",), "regression", 442),
    "wine": Dataset(("tabular",), "classification", 178),
    "iris": Dataset(("tabular",), "classification", 150),
}
METRICS = {
    "classification": ("train_loss", "val_loss", "val_accuracy"),
    "regression": ("train_loss", "val_loss", "val_rmse", "val_mae", "val_r2"),
}
MAXIMIZED = ("accuracy", "r2")  # how the names of metrics end that are better when larger

IMAGES = tuple(name for name, data in DATASETS.items() if "image" in data.tasks)
SGD: Needs = {"optimizer": ("sgd",)}
ADAMW: Needs = {"optimizer": ("adamw",)}
LAYERS: Needs = {"hidden": ((),)}


# fmt: off
@dataclass(frozen=True)
class Options:
    """The configuration of one run; an option that has no effect in it keeps its default."""

    # What is learned
    data: str = choice(
        "digits", tuple(DATASETS), "Data set to train on; these come with scikit-learn and need no download.",
        source="scikit-learn, toy data sets")
    task: str = choice(
        "auto", ("auto", "image", "tabular"),
        "How the data is seen: as images (one mean and deviation per channel) or as a table (per column).",
        value_needs={"image": {"data": IMAGES}})
    val_fraction: float = real(
        0.2, 0.01, 0.8, "Share of the rows that validation measures and training never sees.",
        unit="share of rows")
    test_fraction: float = real(
        0.2, 0.0, 0.8, "Share of the rows kept for a sweep's final stage; nothing else reads them.",
        unit="share of rows")
    split_seed: int = integer(
        0, 0, 2**31 - 1, "Seed of the split into training, validation and test; never a trial's own seed.")

    # The model
    model: str = choice(
        "mlp", ("mlp", "cnn"), "Kind of network: fully connected layers, or a small convolutional net.",
        value_needs={"cnn": {"task": ("image",)}}, impact="High", first_sweep=("mlp", "cnn"))
    hidden: tuple[int, ...] = integers(
        (), 1, 8192, "Sizes of the hidden layers one by one, instead of `width` and `depth`.",
        unit="units", needs={"model": ("mlp",)}, impact="High", first_sweep=((64,), (128, 64)))
    width: int = integer(
        64, 1, 8192, "Units of each hidden layer; channels of the first layer of a convolutional net.",
        defaults=(({"model": ("cnn",)}, 16),), unit="units", needs=LAYERS, log=True, impact="High",
        first_sweep=(16, 256))
    depth: int = integer(
        2, 1, 32, "Number of hidden layers or convolutional blocks.",
        unit="layers", needs=LAYERS, impact="Medium", first_sweep=(1, 5))
    activation: str = choice(
        "gelu", ("relu", "gelu", "tanh", "silu"), "Nonlinearity after each layer.",
        impact="Low", source="GELU arXiv 1606.08415; SiLU 1702.03118", first_sweep=("relu", "gelu", "silu"))
    norm: str = choice(
        "layer", ("none", "batch", "layer"), "Normalisation between a layer and its nonlinearity.",
        source="batch arXiv 1502.03167; layer 1607.06450", first_sweep=("none", "batch", "layer"))
    dropout: float = real(
        0.0, 0.0, 0.95, "Share of the hidden activations that each training step sets to zero.",
        unit="probability", impact="Medium", source="Srivastava et al., JMLR 2014", first_sweep=(0.0, 0.5))

    # Training
    epochs: int = integer(
        20, 1, 100_000, "Passes over the training rows.",
        unit="epochs", impact="High", log=True, first_sweep=(5, 40), horizon="stop")
    batch_size: int = integer(
        32, 1, 65_536, "Rows of one optimizer step, over all ranks; more than there are means all of them.",
        unit="rows", impact="Medium", log=True, source="arXiv 1804.07612", first_sweep=(16, 128))
    optimizer: str = choice(
        "adamw", ("sgd", "adamw"), "Rule that turns gradients into steps.",
        impact="Low", source="AdamW arXiv 1711.05101", first_sweep=("sgd", "adamw"))
    lr: float = real(
        3e-3, 1e-8, 10.0, "Learning rate at its peak.",
        defaults=((SGD, 0.1),), log=True, impact="High", source="arXiv 1206.5533", first_sweep=(1e-5, 1e-1))
    momentum: float = real(
        0.9, 0.0, 0.999, "Share of its last step that SGD carries over into the next.",
        needs=SGD, source="Sutskever et al., ICML 2013", first_sweep=(0.5, 0.99))
    nesterov: bool = switch(
        False, "Look ahead along the momentum before the gradient is taken.",
        needs={**SGD, "momentum": Above(0)}, source="Sutskever et al., ICML 2013", first_sweep=(False, True))
    beta1: float = real(
        0.9, 0.0, 0.999, "Decay of the running mean of the gradient.",
        needs=ADAMW, source="Adam arXiv 1412.6980", first_sweep=(0.8, 0.95))
    beta2: float = real(
        0.999, 0.0, 0.999999, "Decay of the running mean of the squared gradient.",
        needs=ADAMW, source="Adam arXiv 1412.6980", first_sweep=(0.95, 0.999))
    eps: float = real(
        1e-8, 1e-16, 1.0, "Added to the root of the squared gradient before it divides a step.",
        needs=ADAMW, log=True, source="Adam arXiv 1412.6980", first_sweep=(1e-10, 1e-4))
    weight_decay: float = real(
        0.01, 0.0, 10.0, "Pull of the weights towards zero at each step; biases and norms are spared.",
        defaults=((SGD, 5e-4),), log=True, impact="Low", source="arXiv 1711.05101", first_sweep=(1e-5, 1.0))
    schedule: str = choice(
        "cosine", ("constant", "cosine"), "How the learning rate goes on after the warm-up.",
        impact="Medium", source="arXiv 1608.03983", first_sweep=("constant", "cosine"))
    warmup: float = real(
        0.05, 0.0, 1.0, "Share of all steps over which the learning rate rises linearly to its peak.",
        unit="share of steps", impact="Medium", source="arXiv 1706.02677", first_sweep=(0.0, 0.2))
    min_lr_ratio: float = real(
        0.0, 0.0, 1.0, "Learning rate at the end of the cosine, as a share of the peak.",
        unit="share of lr", needs={"schedule": ("cosine",)}, first_sweep=(0.0, 0.1))
    grad_clip: float = real(
        0.0, 0.0, 1e6, "Largest norm of the whole gradient; 0 leaves it as it is.",
        unit="norm", log=True, source="arXiv 1211.5063", first_sweep=(0.1, 10.0))
    label_smoothing: float = real(
        0.0, 0.0, 0.9, "Share of the target that is spread evenly over all classes.",
        unit="probability", needs={"target": ("classification",)}, impact="Low", source="arXiv 1512.00567",
        first_sweep=(0.0, 0.2))

    # How it runs
    threads: int = integer(
        1, 1, 1024, "CPU threads of each rank; another number can change the last bits of a result.",
        unit="threads", horizon="speed")
    checkpoint_epochs: int = integer(
        1, 0, 100_000, "Epochs from one checkpoint to the next; 0 saves only on a request to stop.",
        unit="epochs", horizon="speed")
    checkpoint_seconds: float = real(
        10.0, 0.0, 86_400.0, "Least time between checkpoints of epochs; longer epochs are saved each minute.",
        unit="seconds", needs={"checkpoint_epochs": Above(0)}, horizon="speed")
# fmt: on


OPTIONS: Mapping[str, Option] = table(Options)
BRANCHES = 4096  # combinations of swept values that `check` looks at


def metrics(fixed: Mapping[str, Any]) -> tuple[str, ...]:
    """The metrics that a run with these options reports and an objective may name."""
    data = str(fixed.get("data", OPTIONS["data"].default))
    return METRICS[DATASETS[data].target] if data in DATASETS else ()


def resolve(fixed: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The full configuration: what has an effect, defaults included; raises ValueError with all problems.

    A parameter replaces the fixed option of its name; a given option that has no effect is left out.
    """
    given = {**fixed, **(parameters or {})}
    problems = [*_unknown(given), *_outside({name: [value] for name, value in given.items()})]
    if problems:
        raise ValueError("; ".join(problems))
    values = _branch({name: OPTIONS[name].accept(value) for name, value in given.items()})
    problems = [
        *(sentence for name in given if (sentence := _impossible(name, values[name], [values]))),
        *_splits(values["val_fraction"], values["test_fraction"]),
    ]
    if problems:
        raise ValueError("; ".join(problems))
    return {name: values[name] for name, option in OPTIONS.items() if _met(option.conditions, values)}


def check(fixed: Mapping[str, Any], swept: Mapping[str, Sequence[Any]]) -> list[str]:
    """Everything wrong with a sweep's options, one sentence each that begins with the option's name.

    `swept` holds representative values of each parameter: the ends of a range, all values of a choice.
    """
    named: dict[str, Sequence[Any]] = {**{name: [value] for name, value in fixed.items()}, **swept}
    problems = [f"{name}: must be fixed or swept, not both" for name in fixed if name in swept]
    problems += [*_unknown(named), *_outside(named)]
    wrong = {problem.partition(":")[0] for problem in problems}
    sound = {
        name: [OPTIONS[name].accept(value) for value in values]
        for name, values in named.items()
        if name not in wrong
    }
    branches = list(islice(_branches(sound), BRANCHES))
    for name, values in sound.items():
        if not any(_met(OPTIONS[name].conditions, branch) for branch in branches):
            problems.append(
                f"{name}: {_unmet(OPTIONS[name].conditions, branches)}, so it would have no effect"
            )
            continue
        problems += filter(None, (_impossible(name, value, branches) for value in values))
    if not wrong & {"val_fraction", "test_fraction"}:
        largest = [
            max(sound.get(name, [OPTIONS[name].default])) for name in ("val_fraction", "test_fraction")
        ]
        problems += _splits(*largest)
    return problems


def _unknown(names: Mapping[str, Any]) -> Iterator[str]:
    for name in names:
        if name not in OPTIONS:
            words = name.replace("_", " ").lower()
            meant = [known for known, option in OPTIONS.items() if option.meaning.lower().startswith(words)]
            near = list(dict.fromkeys([*get_close_matches(name, OPTIONS, 2), *meant]))
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            yield f"{name}: is not an option of the built-in trainer{hint}"


def _outside(named: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    for name, values in named.items():
        for value in values if name in OPTIONS else ():
            try:
                OPTIONS[name].accept(value)
            except ValueError as error:
                yield f"{name}: {error}"


def _branch(given: Mapping[str, Any]) -> dict[str, Any]:
    """All options with the facts that follow from them: the target, and the task that `auto` means."""
    values: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        matching = (value for needs, value in option.defaults if _met(needs, values))
        values[name] = given[name] if name in given else next(matching, option.default)
        if name == "task":
            data = DATASETS[values["data"]]
            values["target"] = data.target
            values["task"] = data.tasks[0] if values["task"] == "auto" else values["task"]
    return values


def _branches(sound: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """The combinations of those values on which it depends whether something has an effect."""
    gates = [name for name in sound if name in GATES]
    for chosen in product(*(sound[name] for name in gates)):
        yield _branch(
            {**{name: values[0] for name, values in sound.items()}, **dict(zip(gates, chosen, strict=True))}
        )


def _met(needs: Needs, values: Mapping[str, Any]) -> bool:
    """Whether all needs hold; one that has no effect itself counts as if it were at its default."""
    return all(
        (values[name] if _met(OPTIONS[name].conditions, values) else OPTIONS[name].default) in allowed
        if name in OPTIONS
        else values[name] in allowed
        for name, allowed in needs.items()
    )


def _unmet(needs: Needs, branches: Sequence[Mapping[str, Any]]) -> str:
    """Which needs no branch meets, in words."""
    parts = []
    for name, allowed in needs.items():
        found = list(dict.fromkeys(branch[name] for branch in branches))
        if any(_met({name: allowed}, branch) for branch in branches):
            continue
        wanted = str(allowed) if isinstance(allowed, Above) else " or ".join(map(_show, allowed))
        parts.append(f"needs {name} {wanted}, but {name} is {' or '.join(map(_show, found))}")
    return " and ".join(parts) or "its needs are never met together"


def _impossible(name: str, value: Any, branches: Sequence[Mapping[str, Any]]) -> str:
    """Why no branch can hold this value; empty when one can."""
    needs = OPTIONS[name].value_needs.get(value, {})
    if not needs or any(_met(needs, branch) for branch in branches):
        return ""
    return f"{name}: {value} {_unmet(needs, branches)}"


def _splits(val_fraction: float, test_fraction: float) -> Iterator[str]:
    if val_fraction + test_fraction > 0.95:
        yield (
            "val_fraction: together with test_fraction must leave 5 % of the rows for training, "
            f"but they are {val_fraction:g} and {test_fraction:g}"
        )


def _show(value: Any) -> str:
    match value:
        case ():
            return "unset"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case tuple():
            return str(list(value))
    return str(value)


GATES = frozenset(
    gate
    for option in OPTIONS.values()
    for needs in (option.conditions, *option.value_needs.values(), *(needs for needs, _ in option.defaults))
    for gate in needs
) | {"data", "task"}
