"""Options that do nothing beside others, in ways that the needs of each do not tell."""

from collections.abc import Iterable, Iterator, Mapping

from hypersweep_trainer.options.branch import Branch
from hypersweep_trainer.options.option import UNKNOWN, shown
from hypersweep_trainer.options.rule import Rule

SOFT = ("bce_threshold", "preset", "loss", "mixup_alpha", "cutmix_alpha", "label_smoothing")


def idle(rule: Rule, branches: Iterable[Branch]) -> Iterator[str]:
    """What a rule says of a value that does nothing in any of the branches where it stands."""
    words: list[str] = []
    for branch in branches:
        words += [""] if any(branch[name] is UNKNOWN for name in IDLE[rule]) else rule(branch)
    if words and all(words):
        yield words[-1]


def _steps(branch: Branch) -> Iterator[str]:
    """Whether the learning rate drops before the last epoch, in either stage."""
    if branch["schedule"] == "step":
        epochs, count = branch["epochs"], branch["step_every"]
        first = branch["pretrain_epochs"] if branch["pretrain"] != "none" else 0
        what = "schedule: step" if count == branch.usual("step_every") else "step_every:"
        needs = f"{what} needs epochs at least step_every + 1, but found {epochs} with step_every={count}"
        yield f"{needs}, so it would have no effect" if max(epochs, first) <= count else ""


def _plateaus(branch: Branch) -> Iterator[str]:
    """Whether the learning rate can drop; of a given `plateau_patience` the needs in the table tell."""
    if branch["schedule"] == "plateau":
        epochs, count = branch["epochs"], branch["plateau_patience"]
        needs = "schedule: plateau needs epochs at least plateau_patience + 3"
        found = f"{epochs} with plateau_patience={count}"
        dead = count == branch.usual("plateau_patience") and epochs < count + 3
        yield f"{needs}, but found {found}, so it would have no effect" if dead else ""


def _differs(branch: Branch) -> Iterator[str]:
    """What counts as better matters to those who look for the best."""
    if branch["min_delta"] and branch["min_delta"] != branch.usual("min_delta"):
        needs = "min_delta: needs patience above 0 or restore_best, but found neither"
        asked = branch["patience"] or branch["restore_best"]
        yield "" if asked else f"{needs}, so it would have no effect"


def _threshold(branch: Branch) -> Iterator[str]:
    threshold = branch["bce_threshold"]
    if threshold and threshold != branch.usual("bce_threshold") and branch["loss"] == "bce":
        softened = any(branch[name] for name in ("mixup_alpha", "cutmix_alpha", "label_smoothing"))
        needs = "needs mixup_alpha, cutmix_alpha or label_smoothing above 0, but found none"
        yield "" if softened else f"bce_threshold: {needs}, so it would have no effect"


def _smoothed(branch: Branch) -> Iterator[str]:
    """A threshold makes the smoothed targets of a row that is no blend what they were before."""
    share, threshold = branch["label_smoothing"], branch["bce_threshold"]
    if share and share != branch.usual("label_smoothing") and branch["loss"] == "bce":
        low = share / max(branch["classes"], 1)
        blended = branch["mixup_alpha"] or branch["cutmix_alpha"]
        restored = not blended and low <= threshold < 1 - share + low
        needs = f"needs mixup_alpha or cutmix_alpha above 0 beside bce_threshold={shown(threshold)}"
        yield f"label_smoothing: {needs}, but found none, so it would have no effect" if restored else ""


def _scaled(branch: Branch) -> Iterator[str]:
    """A batch of the size for which the learning rate is meant leaves it as it is."""
    size, base, over = branch["batch_size"], branch["base_batch"], branch["ranks"]
    over = over if branch["batch_scope"] == "per_rank" else 1
    if branch["lr_scaling"] != "none" and size != "auto" and over is not UNKNOWN:
        needs = f"needs a batch other than base_batch, but found {base} rows in both"
        yield f"lr_scaling: {needs}, so it would have no effect" if size * over == base else ""


def _alone(name: str) -> Rule:
    """A row by itself meets no other one."""

    def rule(branch: Branch) -> Iterator[str]:
        if branch[name] and branch[name] != branch.usual(name):
            single = branch["batch_size"] == 1 and (branch["batch_scope"] == "global" or branch["ranks"] == 1)
            needs = f"{name}: needs a batch of at least 2 rows, but found 1"
            yield f"{needs}, so it would have no effect" if single else ""

    return rule


def _noise(branch: Branch) -> Iterator[str]:
    """Noise is added to numbers: those of the data, or what an encoder makes of categories."""
    if branch["noise"] and branch["task"] == "tabular":
        codes = branch["numbers"] == "none" and branch["target"] != "reconstruction"
        idle = codes and branch["cat_encoder"] == "embedding"
        needs = f"needs data with columns of numbers, but found none in {branch['data']}"
        yield f"noise: {needs}, so it would have no effect" if idle else ""


IDLE: Mapping[Rule, tuple[str, ...]] = {
    _steps: ("schedule", "epochs", "step_every", "pretrain", "pretrain_epochs"),
    _plateaus: ("schedule", "epochs", "plateau_patience"),
    _differs: ("min_delta", "patience", "restore_best"),
    _threshold: SOFT,
    _smoothed: (*SOFT, "classes"),
    _scaled: ("lr_scaling", "base_batch", "batch_size", "batch_scope"),
    **{
        _alone(name): (name, "batch_size", "batch_scope", "preset")
        for name in ("mixup_alpha", "cutmix_alpha", "swap_noise")
    },
    _noise: ("noise", "task", "target", "numbers", "cat_encoder", "data"),
}
