"""Published recipes as defaults: a preset changes what an option is when nobody sets it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypersweep_trainer.options.need import PRETRAINED, one
from hypersweep_trainer.options.option import choice

SCRATCH: Mapping[str, Any] = {"epochs": 30, "batch_size": 32, "schedule": "cosine", "warmup": 0.05}

RSB: Mapping[str, Any] = {  # ResNet strikes back, arXiv 2110.00476, table 2
    "model": "timm:resnet50", "optimizer": "lamb", "schedule": "cosine", "batch_size": 2048, "loss": "bce",
    "bce_threshold": 0.2, "random_resized_crop": 0.08, "flip": 0.5, "rand_augment_n": 2,
    "rand_augment_std": 0.5, "cutmix_alpha": 1.0, "test_crop": 0.95,
}  # fmt: skip
RSB_LONG: Mapping[str, Any] = {  # what A1 and A2 share
    **RSB, "lr": 5e-3, "stochastic_depth": 0.05, "repeated_augmentation": 3, "rand_augment_m": 7.0,
    "image_size": 224,
}  # fmt: skip

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "scratch": SCRATCH,
    "transfer": {
        "epochs": 5, "batch_size": 32, "schedule": "cosine", "freeze": ("body.*",), "unfreeze_epoch": 2,
        "head_lr_mult": 10.0,
    },
    # arXiv 2106.11959: the middle of the space that it searches, and its protocol
    "mlp-table": {
        "model": "mlp", "num_encoder": "quantile", "depth": 3, "width": 256, "activation": "relu",
        "norm": "none", "dropout": 0.1, "epochs": 100, "batch_size": 256, "lr": 1e-3, "weight_decay": 1e-5,
        "schedule": "constant", "warmup": 0.0, "patience": 16, "restore_best": True,
    },
    # arXiv 1605.07146 with the cosine of 1608.03983, in fewer epochs
    "cnn-image": {
        **SCRATCH, "model": "cnn", "depth": 3, "width": 64, "activation": "relu", "norm": "batch",
        "residual": "on", "optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True,
        "weight_decay": 5e-4, "batch_size": 128, "flip": 0.5, "crop_pad": 4,
    },
    # nanoGPT, config/train_shakespeare_char.py
    "transformer-text": {
        "model": "transformer", "context": 256, "depth": 6, "heads": 6, "width": 384, "dropout": 0.2,
        "tie_weights": True, "batch_size": 64, "lr": 1e-3, "min_lr_ratio": 0.1, "warmup": 0.02,
        "beta2": 0.99, "weight_decay": 0.1, "grad_clip": 1.0,
    },
    "rsb-a1": {
        **RSB_LONG, "epochs": 600, "warmup": 5 / 600, "weight_decay": 0.01, "label_smoothing": 0.1,
        "mixup_alpha": 0.2,
    },
    "rsb-a2": {
        **RSB_LONG, "epochs": 300, "warmup": 5 / 300, "weight_decay": 0.02, "mixup_alpha": 0.1,
    },
    "rsb-a3": {
        **RSB, "epochs": 100, "warmup": 5 / 100, "lr": 8e-3, "weight_decay": 0.02, "rand_augment_m": 6.0,
        "mixup_alpha": 0.1, "image_size": 160, "test_size": 224,
    },
}  # fmt: skip


# fmt: off
@dataclass(frozen=True)
class Recipe:
    """Preset. A recipe to start from."""

    preset: str = choice(
        "none", tuple(PRESETS),
        "Recipe whose values stand wherever you set none, and where they have an effect.",
        value_needs={
            "transfer": PRETRAINED, "mlp-table": one("task", "tabular"), "cnn-image": one("task", "image"),
            "transformer-text": one("task", "sequence"),
            **{name: one("task", "image") for name in PRESETS if name.startswith("rsb")}},
        source="rsb: arXiv 2110.00476; mlp-table: 2106.11959; cnn-image: 1605.07146, 1608.03983; "
        "transformer-text: nanoGPT",
        hint="A known problem: begin with what is known to work there, then change one thing at a time. "
        "cnn-image is meant for photographs: digits must not be flipped.",
        unswept="a place to start from; what it sets can be swept")
# fmt: on
