"""Options of the training: epochs and batches, loss, optimizer, learning rate, regularisation."""

from dataclasses import dataclass

from hypersweep_trainer.options.need import (
    CLASSES,
    DISCRETE,
    LIBRARY,
    NUMBERS,
    REAL,
    TABULAR,
    Need,
    lasting,
    more,
    one,
)
from hypersweep_trainer.options.option import ASKED, choice, integer, real, switch

OPTIMIZERS = (
    "sgd", "rmsprop", "rprop", "adagrad", "adadelta", "adam", "amsgrad", "adamax", "nadam", "radam", "adamw",
    "lamb", "lion", "muon",
)  # fmt: skip
LOSSES = (
    "cross_entropy", "bce", "hinge", "focal", "mse", "mae", "huber", "log_cosh", "quantile", "mape", "msle",
)  # fmt: skip
ADAMS = ("adam", "amsgrad", "adamax", "nadam", "radam")  # L2 in the gradient unless it is decoupled: adamw
MOMENTUM = one("optimizer", "sgd", "rmsprop", "muon")
BETAS = one("optimizer", *ADAMS, "adamw", "lamb", "lion")
EPS = one("optimizer", *ADAMS, "adamw", "lamb", "rmsprop", "adagrad", "adadelta")
DECAYS: Need = {"optimizer": tuple(name for name in OPTIMIZERS if name != "rprop")}
STEPS = one("schedule", "step")
PLATEAU = one("schedule", "plateau")
DROPS = one("schedule", "step", "plateau")
FEW = TABULAR | CLASSES | one("optimizer", "adamw")  # rows, hence steps: large ones, and weights pulled back
UNSCALED = NUMBERS | one("target_norm", "none")


# fmt: off
@dataclass(frozen=True)
class Training:
    """Training. Epochs, batches, loss, optimizer and learning rate."""

    epochs: int = integer(
        30, 1, 1_000_000, "Passes over the training rows.",
        unit="epochs", impact="High", log=True, source="arXiv 1206.5533",
        hint="20 to 40 from scratch (`preset: scratch`), 3 to 6 when transferring (`preset: transfer`).",
        first_sweep=(5, 40), horizon="stop")
    batch_size: int | str = integer(
        32, 1, 1_048_576,
        "Rows of an optimizer step, over all ranks, at most all; auto is the largest power of two that fits.",
        words=("auto",), unit="rows", impact="Medium", log=True, source="arXiv 1804.07612",
        hint="16, 32 or 64: smaller ones tend to generalise, larger ones use the device better.",
        first_sweep=(16, 128))
    batch_scope: str = choice(
        "global", ("global", "per_rank"), "Whether `batch_size` counts the rows of all ranks or of each.",
        needs=more("ranks", 1), source="arXiv 1706.02677", first_sweep=("global", "per_rank"))
    grad_accum: int = integer(
        1, 1, 1024,
        "Parts in which the rows of a step go through the network, one after the other, to save memory.",
        unit="parts", log=True, source="arXiv 1806.00187", first_sweep=(1, 4), horizon="speed")
    loss: str = choice(
        "cross_entropy", LOSSES, "What training minimises.",
        defaults=((one("target", "regression", "reconstruction"), "mse"),),
        value_needs={
            "cross_entropy": DISCRETE, "focal": DISCRETE, "bce": CLASSES, "hinge": CLASSES, "mse": REAL,
            "mae": REAL, "huber": REAL, "log_cosh": NUMBERS, "quantile": NUMBERS, "mape": UNSCALED,
            "msle": UNSCALED},
        impact="High",
        source="focal: arXiv 1708.02002; hinge: Crammer and Singer 2001; Huber 1964; quantile: Koenker and "
        "Bassett 1978; others: torch.nn, scikit-learn",
        hint="mae or huber beside outliers, mape or msle for relative errors, focal for rare classes.",
        first_sweep=("cross_entropy", "bce", "focal"))
    bce_threshold: float = real(
        0.0, 0.0, 0.99, "Blended targets above this count as 1, others as 0; 0 leaves them as they are.",
        needs=CLASSES | one("loss", "bce"), source="timm, BinaryCrossEntropy",
        hint="Beside MixUp, CutMix or label smoothing: nothing else blends targets.", first_sweep=(0.0, 0.2))
    focal_gamma: float = real(
        2.0, 0.0, 10.0, "How much the focal loss turns away from what is already right.",
        needs=one("loss", "focal"), source="arXiv 1708.02002",
        hint="0 is cross-entropy.", first_sweep=(0.5, 5.0))
    focal_alpha: float = real(
        0.0, 0.0, 1.0,
        "Weight of the focal loss in all classes but the first one, which has 1 - alpha; 0 is off.",
        needs=CLASSES | one("loss", "focal"), source="arXiv 1708.02002",
        hint="0.25 with a gamma of 2, where the first class is the background.", first_sweep=(0.25, 0.75))
    huber_delta: float = real(
        1.0, 1e-6, 1e6, "Error from which the Huber loss is linear, in scaled units of the target.",
        needs=one("loss", "huber"), log=True, source="Huber 1964", first_sweep=(0.1, 2.0))
    quantile: float = real(
        0.5, 0.001, 0.999, "Which quantile of the target the quantile loss asks for.",
        needs=one("loss", "quantile"), source="Koenker and Bassett 1978", unswept=ASKED)
    label_smoothing: float = real(
        0.0, 0.0, 0.9, "Share of the target that is spread evenly over all classes.",
        unit="probability", needs=DISCRETE | one("loss", "cross_entropy", "bce", "focal"), impact="Low",
        source="arXiv 1512.00567", hint="0.1.", first_sweep=(0.0, 0.2))
    class_weights: str = choice(
        "none", ("none", "balanced"), "Weigh each row's loss against the frequency of its class.",
        needs=CLASSES | one("sampling", "all"),
        source="King and Zeng 2001; scikit-learn, compute_class_weight",
        first_sweep=("none", "balanced"))
    optimizer: str = choice(
        "adamw", OPTIMIZERS, "Rule that turns gradients into steps.",
        value_needs={"muon": one("architecture", "mlp", "transformer", "timm", "import")}, impact="Low",
        source="AdamW arXiv 1711.05101; LAMB 1904.00962; Lion 2302.06675; RAdam 1908.03265; "
        "AMSGrad 1904.09237; Adadelta 1212.5701; NAdam: Dozat 2016; Adagrad: Duchi et al. 2011; "
        "Rprop: Riedmiller and Braun 1993; Muon: Jordan 2024",
        hint="adamw or lamb; sgd with momentum where there is time to tune it.",
        first_sweep=("sgd", "adamw", "lamb"))
    lr: float | str = real(
        1e-3, 1e-8, 100.0, "Learning rate at its peak; auto runs a range test first.",
        defaults=(
            (NUMBERS | one("optimizer", "sgd"), 1e-2), (one("optimizer", "sgd"), 0.1),
            (one("optimizer", "lamb", "adagrad", "rprop"), 1e-2),
            (one("optimizer", "lion"), 3e-4), (one("optimizer", "adadelta"), 1.0),
            (one("optimizer", "muon"), 2e-2), (FEW, 3e-3)),
        words=("auto",), value_needs={"auto": DECAYS}, log=True, impact="High",
        source="arXiv 1206.5533; range test: 1506.01186",
        hint="0.001 does in most cases. Look for the order of magnitude first, on a "
        "part of the data, then narrow around the best.",
        first_sweep=(1e-5, 1e-1))
    lr_scaling: str = choice(
        "none", ("none", "linear", "sqrt"),
        "How the learning rate grows with the batch beyond `base_batch`; at that size nothing changes.",
        source="linear: arXiv 1706.02677; sqrt: 1404.5997", hint="linear for sgd, sqrt for the Adam family.",
        first_sweep=("none", "sqrt"))
    base_batch: int = integer(
        32, 1, 1_048_576, "Batch size for which `lr` is meant.",
        unit="rows", needs=one("lr_scaling", "linear", "sqrt"), log=True, source="arXiv 1706.02677",
        unswept="`lr` says the same")
    momentum: float = real(
        0.9, 0.0, 0.9999, "Share of its last step that the optimizer carries over into the next.",
        defaults=((one("optimizer", "rmsprop"), 0.0), (one("optimizer", "muon"), 0.95)),
        needs=MOMENTUM, source="Sutskever et al., ICML 2013", first_sweep=(0.5, 0.99))
    nesterov: bool = switch(
        False, "Look ahead along the momentum before the gradient is taken.",
        needs=one("optimizer", "sgd", "muon") | more("momentum"), source="Sutskever et al., ICML 2013",
        first_sweep=(False, True))
    beta1: float = real(
        0.9, 0.0, 0.9999, "Decay of the running mean of the gradient.",
        needs=BETAS, source="Adam arXiv 1412.6980", first_sweep=(0.8, 0.95))
    beta2: float = real(
        0.999, 0.0, 0.999999, "Decay of the running mean of the squared gradient.",
        defaults=((one("optimizer", "lion"), 0.99),),
        needs=BETAS, source="Adam arXiv 1412.6980", first_sweep=(0.95, 0.999))
    rho: float = real(
        0.9, 0.0, 0.9999, "Decay of the running mean of the squared gradient.",
        defaults=((one("optimizer", "rmsprop"), 0.99),),
        needs=one("optimizer", "rmsprop", "adadelta"), source="Adadelta arXiv 1212.5701",
        first_sweep=(0.9, 0.99))
    eps: float = real(
        1e-8, 1e-16, 1.0, "Added to the root of the squared gradient before it divides a step.",
        defaults=((one("optimizer", "lamb", "adadelta"), 1e-6), (one("optimizer", "adagrad"), 1e-10)),
        needs=EPS, log=True, source="Adam arXiv 1412.6980", first_sweep=(1e-10, 1e-4))
    head_lr_mult: float = real(
        1.0, 0.0, 1000.0, "Factor of the head's learning rate.",
        needs=LIBRARY, log=True, source="arXiv 1801.06146", first_sweep=(1.0, 10.0))
    layer_lr_decay: float = real(
        1.0, 0.01, 1.0, "Factor of the learning rate from each layer to the one below it.",
        needs=LIBRARY, source="arXiv 1801.06146; 2106.08254", first_sweep=(0.5, 1.0))
    schedule: str = choice(
        "cosine", ("constant", "cosine", "linear", "step", "plateau", "inverse", "exponential"),
        "How the learning rate goes on after the warm-up; plateau leaves it as it is in a first stage.",
        needs=DECAYS, impact="Medium", source="cosine: arXiv 1608.03983; inverse: Robbins and Monro 1951",
        hint="cosine after a linear warm-up; step where the best number of epochs is not known.",
        first_sweep=("constant", "cosine", "step"))
    warmup: float = real(
        0.05, 0.0, 1.0, "Share of all steps over which the learning rate rises linearly to its peak.",
        unit="share of steps", needs=DECAYS, impact="Medium", source="arXiv 1706.02677",
        first_sweep=(0.0, 0.2))
    min_lr_ratio: float = real(
        0.0, 0.0, 1.0, "Learning rate below which the schedule never goes, as a share of the peak.",
        unit="share of lr", needs=DECAYS | one("schedule", "cosine", "linear"), source="arXiv 1608.03983",
        first_sweep=(0.0, 0.1))
    step_every: int = integer(
        10, 1, 100_000, "Epochs from one drop of the learning rate to the next.",
        unit="epochs", needs=STEPS, source="torch, StepLR",
        first_sweep=(3, 20), horizon="epoch")
    step_factor: float = real(
        0.1, 1e-6, 1.0, "Factor of the learning rate at each drop.",
        needs=DROPS, log=True, source="torch, StepLR, ReduceLROnPlateau", first_sweep=(0.1, 0.5),
        horizon="epoch")
    plateau_patience: int = integer(
        3, 0, 10_000, "Epochs without a better validation loss before the learning rate drops.",
        unit="epochs", needs=PLATEAU | lasting("plateau_patience", 3),
        source="torch, ReduceLROnPlateau", first_sweep=(1, 10), horizon="epoch")
    lr_decay: float = real(
        0.05, 0.0, 100.0,
        "Speed of the decay, e: 1 / (1 + e t) of `inverse`, exp(-e t) of `exponential`, t in epochs.",
        needs=one("schedule", "inverse", "exponential"), log=True, source="torch, ExponentialLR",
        first_sweep=(0.01, 0.5))
    inverse_power: float = real(
        1.0, 0.01, 4.0, "Power of the inverse decay.",
        needs=one("schedule", "inverse"), source="Robbins and Monro 1951",
        hint="Above 1/2 and up to 1 the steps' sum diverges and that of their squares converges.",
        first_sweep=(0.5, 1.0))


@dataclass(frozen=True)
class Regularisation:
    """Regularisation. What keeps the network from learning rows by heart, and steps in bounds."""

    weight_decay: float = real(
        0.01, 0.0, 10.0,
        "Pull of the weights towards zero at each step; decoupled from the gradient where the rule is.",
        defaults=(
            (one("optimizer", "sgd", "muon"), 5e-4),
            (one("optimizer", *ADAMS, "rmsprop", "adagrad", "adadelta"), 0.0), (FEW, 1.0)),
        needs=DECAYS, log=True, impact="Low", source="arXiv 1711.05101", first_sweep=(1e-5, 1.0))
    decay_bias_norm: bool = switch(
        False, "Let weight decay pull at biases and norms, too.",
        needs=DECAYS | more("weight_decay"), source="arXiv 1812.01187", first_sweep=(False, True))
    l2: float = real(
        0.0, 0.0, 10.0, "Factor of half the squared weights in the loss.",
        log=True, impact="Low", source="Hoerl and Kennard 1970", first_sweep=(1e-6, 1e-2))
    l1: float = real(
        0.0, 0.0, 10.0, "Factor of the absolute weights in the loss.",
        log=True, source="Tibshirani 1996", hint="Drives the weights of useless inputs to zero.",
        first_sweep=(1e-6, 1e-2))
    grad_clip: float = real(
        0.0, 0.0, 1e6, "Largest norm of the whole gradient; 0 leaves it as it is.",
        unit="norm", needs=DECAYS, log=True, source="arXiv 1211.5063", first_sweep=(0.1, 10.0),
        hint="1, where single steps throw the training back.")
    grad_noise: float = real(
        0.0, 0.0, 100.0,
        "Deviation of noise added to the gradient at the first step; falls as (1 + step)^-0.275.",
        source="arXiv 1511.06807", log=True, first_sweep=(1e-3, 1.0))
    ema: float = real(
        0.0, 0.0, 0.99999, "Decay of a running mean of the weights, which evaluation then uses; 0 is off.",
        source="Polyak and Juditsky 1992", first_sweep=(0.9, 0.999), horizon="evaluation")
    patience: int = integer(
        0, 0, 100_000,
        "Epochs without a better objective (without one: val_loss) before training stops; 0 is off.",
        unit="epochs", needs=lasting("patience", 2), impact="Low", source="Prechelt 1998",
        first_sweep=(3, 16),
        hint="Seldom needed: a schedule over fewer epochs does as well.", horizon="stop")
    min_delta: float = real(
        0.0, 0.0, 1e9, "Least change that counts as better, for `patience` and `restore_best`.",
        log=True, source="Prechelt 1998", first_sweep=(1e-4, 1e-2), horizon="stop")
    restore_best: bool = switch(
        False, "End with the weights of the best epoch instead of the last one's.",
        source="Prechelt 1998", first_sweep=(False, True), horizon="evaluation")
# fmt: on
