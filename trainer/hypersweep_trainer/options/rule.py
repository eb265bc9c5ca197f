"""What options say of each other beyond the needs of each: combinations that cannot be."""

from collections.abc import Callable, Iterator, Mapping

from hypersweep_trainer.options.branch import Branch
from hypersweep_trainer.options.facts import ARCHITECTURES, DATASETS, METRICS, ON_REQUEST
from hypersweep_trainer.options.option import UNKNOWN, shown
from hypersweep_trainer.options.size import RULES as SIZES
from hypersweep_trainer.options.words import either

GATED = ("glu", "geglu", "swiglu")
LEARNT: Mapping[str, tuple[str, ...]] = {  # targets of files and of your own data, by task
    "image": ("classification", "regression", "reconstruction"),
    "tabular": ("classification", "regression", "reconstruction"),
    "sequence": ("classification", "tokens"),
}


def contradictions(branch: Branch) -> Iterator[str]:
    """One sentence each that begins with an option's name."""
    for rule in RULES:
        yield from broken(rule, branch)


def broken(rule: "Rule", branch: Branch) -> Iterator[str]:
    """What a rule says of a branch, once all that it reads is known."""
    if not any(branch[name] is UNKNOWN for name in RULES[rule]):
        yield from rule(branch)


def _task(branch: Branch) -> Iterator[str]:
    task, data = branch["task"], branch["data"]
    if data in DATASETS and task not in DATASETS[data].tasks:
        fitting = either([*(name for name, known in DATASETS.items() if task in known.tasks), "files"])
        yield f"task: {task} needs data {fitting}, but found {data}"


def _target(branch: Branch) -> Iterator[str]:
    task, target, known = branch["task"], branch["target"], DATASETS.get(branch["data"])
    possible = LEARNT[task]
    if known is not None:
        possible = tuple(name for name in (known.target, "reconstruction") if name in LEARNT[task])
    if target not in possible and (known is None or task in known.tasks):
        of = f"a task {task}" if known is None else f"data {branch['data']}"
        yield f"target: must be {either(possible)} with {of}, but found {target}"


def _fractions(branch: Branch) -> Iterator[str]:
    val, test = branch["val_fraction"], branch["test_fraction"]
    if not branch["folds"] and val + test > 0.95:
        yield (
            "val_fraction: together with test_fraction must leave 5 % of the rows for training, "
            f"but found {shown(val)} and {shown(test)}"
        )


def _folds(branch: Branch) -> Iterator[str]:
    folds, fold = branch["folds"], branch["fold"]
    if folds == 1:
        yield "folds: must be 0 or at least 2, but found 1"
    elif folds and fold >= folds:
        yield f"fold: must be below folds, but found fold={fold}, folds={folds}"


def _thaw(branch: Branch) -> Iterator[str]:
    if branch["unfreeze_epoch"] == 1:
        yield "unfreeze_epoch: must be 0 or at least 2, but found 1: nothing would ever be frozen"


def _range(branch: Branch) -> Iterator[str]:
    ends = branch["output_range"]
    if ends and (len(ends) != 2 or not ends[0] < ends[1]):
        yield f"output_range: must be two numbers, the lower one first, but found {shown(ends)}"


def _above(branch: Branch) -> Iterator[str]:
    ends = branch["output_range"]
    if ends and branch["target_norm"] == "log" and min(ends) <= -1:
        yield f"output_range: target_norm log needs a lower end above -1, but found {shown(min(ends))}"


def _tied(branch: Branch) -> Iterator[str]:
    rebuilds = branch["target"] == "reconstruction" and branch["architecture"] == "mlp"
    if branch["tie_weights"] and rebuilds and branch["activation"] in GATED:
        yield f"tie_weights: needs an activation without a gate, but found {branch['activation']}"


def _single(branch: Branch) -> Iterator[str]:
    """The mean of one unit taken from it leaves nothing."""
    sizes = (branch["architecture"] == "mlp" and branch["hidden"]) or (branch["width"],)
    centred = branch["norm"] in ("layer", "group", "rms")
    if centred and branch["architecture"] in ("mlp", "transformer") and 1 in sizes:
        yield f"norm: {branch['norm']} needs layers of at least 2 units, but found 1"


def _embedded(branch: Branch) -> Iterator[str]:
    if branch["mixup_alpha"] and branch["task"] == "sequence" and branch["architecture"] == "import":
        yield "mixup_alpha: blends embeddings: needs model cnn or transformer, but found your own network"


def _matrix(branch: Branch) -> Iterator[str]:
    """Muon is for the matrices between hidden layers."""
    layers = len(branch["hidden"]) or branch["depth"]
    if branch["optimizer"] == "muon" and branch["architecture"] == "mlp" and layers < 2:
        yield f"optimizer: muon needs at least 2 hidden layers, but found {layers}"


def _library(branch: Branch) -> Iterator[str]:
    if branch["architecture"] == "timm" and branch["task"] != "image":
        yield f"model: {branch['model']} needs task image, but found {branch['task']}"


def _rebuilt(branch: Branch) -> Iterator[str]:
    if branch["target"] == "reconstruction" and branch["architecture"] not in ("mlp", "import"):
        needs = "needs target classification or regression"
        if branch["architecture"] not in ARCHITECTURES:  # what these need stands in the table
            yield f"model: {branch['model']} {needs}, but found reconstruction"


def _batch_norm(branch: Branch) -> Iterator[str]:
    """Batch norm learns nothing of single rows, and torch refuses them."""
    size, parts = branch["batch_size"], branch["grad_accum"]
    if size == "auto" or branch["norm"] != "batch" or branch["architecture"] not in ("mlp", "cnn"):
        return
    over = parts if branch["batch_scope"] == "per_rank" or branch["sync_bn"] else parts * branch["ranks"]
    if size < 2 * over:
        found = f"batch_size={size}, ranks={branch['ranks']}, grad_accum={parts}"
        yield f"batch_size: norm batch needs two rows in each part on each rank, but found {found}"


def _rows(branch: Branch) -> Iterator[str]:
    """A step of more rows than there are sees them all, however many it was to be."""
    size, known = branch["batch_size"], DATASETS.get(branch["data"])
    if size == "auto" or known is None or size == branch.usual("batch_size"):
        return
    rows = known.rows or branch["synthetic_rows"]
    if size > rows:
        yield f"batch_size: must be at most {rows}, the rows of {branch['data']}, but found {size}"


def _parts(branch: Branch) -> Iterator[str]:
    size, parts, ranks = branch["batch_size"], branch["grad_accum"], branch["ranks"]
    if size == "auto":
        return
    share = max(size if branch["batch_scope"] == "per_rank" else size // ranks, 1)
    if parts > share:
        found = f"{parts} with batch_size={size}, ranks={ranks}"
        yield f"grad_accum: must be at most {share}, a rank's rows of a step, but found {found}"


def _repeats(branch: Branch) -> Iterator[str]:
    size, times = branch["batch_size"], branch["repeated_augmentation"]
    over = branch["ranks"] if branch["batch_scope"] == "per_rank" else 1
    if size != "auto" and times > size * over:
        yield f"repeated_augmentation: must be at most {size * over}, the rows of a step, but found {times}"


def _squashed(branch: Branch) -> Iterator[str]:
    """What msle predicts is the softplus of an output, which is above 0 and nowhere else held."""
    if branch["output_range"] and branch["loss"] == "msle":
        yield "output_range: needs a loss other than msle, which has a range of its own, but found msle"


def _warm(branch: Branch) -> Iterator[str]:
    if branch["warmup"] == 1 and branch["schedule"] != "constant":
        yield f"warmup: must be below 1 to leave steps to schedule {branch['schedule']}, but found 1"


def _columns(branch: Branch) -> Iterator[str]:
    features, label = branch["features"], branch["label"]
    if label and label in features:
        yield f"features: must not hold the label, but found {label}"
    strange = [name for name in branch["categorical"] if features and name not in (*features, label)]
    if len(strange) > (0 if label else 1):  # one may be the last column, which is the label then
        yield f"categorical: must be among features, but found {', '.join(strange)}"


def _metrics(branch: Branch) -> Iterator[str]:
    target = branch["target"]
    known = (*METRICS[target], *ON_REQUEST.get(target, ()))
    for name in branch["metrics"]:
        if name not in known:
            yield f"metrics: must be among {', '.join(known)}, but found {name}"


Rule = Callable[[Branch], Iterator[str]]
RULES: Mapping[Rule, tuple[str, ...]] = {  # what each reads
    _task: ("task", "data"),
    _target: ("task", "target", "data"),
    _fractions: ("val_fraction", "test_fraction", "folds"),
    _folds: ("folds", "fold"),
    _thaw: ("unfreeze_epoch",),
    _range: ("output_range",),
    _above: ("output_range", "target_norm"),
    _tied: ("tie_weights", "target", "architecture", "activation"),
    _single: ("architecture", "norm", "hidden", "width"),
    _embedded: ("mixup_alpha", "task", "architecture"),
    _matrix: ("optimizer", "architecture", "hidden", "depth"),
    _library: ("architecture", "task"),
    _rebuilt: ("target", "architecture"),
    _batch_norm: ("batch_size", "batch_scope", "grad_accum", "norm", "architecture", "sync_bn", "ranks"),
    _rows: ("batch_size", "data", "synthetic_rows", "preset"),
    _parts: ("grad_accum", "batch_size", "batch_scope", "ranks"),
    _repeats: ("repeated_augmentation", "batch_size", "batch_scope", "ranks"),
    _squashed: ("output_range", "loss"),
    _warm: ("warmup", "schedule"),
    _columns: ("features", "label", "categorical"),
    _metrics: ("target", "metrics"),
    **SIZES,
}
