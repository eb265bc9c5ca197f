"""Presets are the recipes that were published, and each of their keys gives way."""

import pytest

from hypersweep_trainer.options import OPTIONS, PRESETS, check, resolve

RSB = {  # arXiv 2110.00476, table 2
    "rsb-a1": {
        "epochs": 600, "lr": 5e-3, "weight_decay": 0.01, "label_smoothing": 0.1, "stochastic_depth": 0.05,
        "repeated_augmentation": 3, "rand_augment_m": 7.0, "mixup_alpha": 0.2, "image_size": 224},
    "rsb-a2": {
        "epochs": 300, "lr": 5e-3, "weight_decay": 0.02, "label_smoothing": 0.0, "stochastic_depth": 0.05,
        "repeated_augmentation": 3, "rand_augment_m": 7.0, "mixup_alpha": 0.1, "image_size": 224},
    "rsb-a3": {
        "epochs": 100, "lr": 8e-3, "weight_decay": 0.02, "label_smoothing": 0.0, "stochastic_depth": 0.0,
        "repeated_augmentation": 1, "rand_augment_m": 6.0, "mixup_alpha": 0.1, "image_size": 160,
        "test_size": 224},
}  # fmt: skip
SHARED = {
    "optimizer": "lamb", "batch_size": 2048, "loss": "bce", "schedule": "cosine", "cutmix_alpha": 1.0,
    "rand_augment_std": 0.5, "test_crop": 0.95, "flip": 0.5, "random_resized_crop": 0.08,
    "model": "timm:resnet50",
}  # fmt: skip


@pytest.mark.parametrize("name", RSB)
def test_a_published_recipe_expands_to_its_table(name: str) -> None:
    resolved = resolve({"preset": name})

    assert RSB[name] | SHARED == {key: resolved[key] for key in RSB[name] | SHARED}
    assert 5 == pytest.approx(resolved["warmup"] * resolved["epochs"])


@pytest.mark.parametrize("name", PRESETS)
def test_every_key_of_a_preset_can_be_set_to_something_else(name: str) -> None:
    home = {
        "transfer": {"pretrained": "model/"},
        "mlp-table": {"data": "iris"},
        "transformer-text": {"data": "markov"},
    }
    fixed = {"preset": name, **home.get(name, {})}
    plain = resolve(fixed)

    assert dict(PRESETS[name]) == {key: plain[key] for key in PRESETS[name]}
    for key, value in PRESETS[name].items():
        option = OPTIONS[key]
        others = (option.default, *option.first_sweep, *(value for _, value in option.defaults))
        other = next(other for other in others if other != value)
        if other != "auto" and not check({**fixed, key: other}, {}):
            assert other == resolve({**fixed, key: other})[key]


def test_presets_train_for_as_long_as_their_kind_of_task_wants() -> None:
    assert 20 <= resolve({"preset": "scratch"})["epochs"] <= 40
    assert 3 <= resolve({"preset": "transfer", "pretrained": "model/"})["epochs"] <= 6


def test_a_preset_gives_way_where_its_value_cannot_be() -> None:
    assert (
        "mse"
        == resolve({"preset": "rsb-a3", "data": "photos.npz", "task": "image", "target": "regression"})[
            "loss"
        ]
    )
