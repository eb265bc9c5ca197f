"""Options of what the network is fed: encoders, normalisation, augmentation, the order of rows."""

from dataclasses import dataclass

from hypersweep_trainer.options.need import (
    CATEGORIES,
    CLASSES,
    DISCRETE,
    IMAGE,
    LABELLED,
    NUMBERS,
    NUMERIC,
    PRETRAINED,
    SEQUENCE,
    TABLE,
    more,
    one,
)  # fmt: skip
from hypersweep_trainer.options.option import choice, integer, real, switch


# fmt: off
@dataclass(frozen=True)
class Inputs:
    """Input. How columns, images and targets become numbers; fitted on the training rows alone."""

    num_encoder: str = choice(
        "standard", ("none", "standard", "quantile", "rankgauss"),
        "How a column of numbers is encoded: as it is, to mean 0 and deviation 1, to a normal distribution.",
        tasks=TABLE, needs=NUMERIC, impact="High",
        source="scikit-learn, StandardScaler, QuantileTransformer; RankGauss: Jahrer 2017",
        hint="Inputs of mean 0 at least; quantile or rankgauss where columns are skewed or have outliers.",
        first_sweep=("standard", "quantile", "rankgauss"))
    quantiles: int = integer(
        1000, 10, 100_000, "Quantiles of a column that the quantile encoder maps; more than rows: all rows.",
        tasks=TABLE, needs=NUMERIC | one("num_encoder", "quantile"), log=True, impact="High",
        source="scikit-learn, QuantileTransformer", first_sweep=(10, 1000))
    rankgauss_unit: bool = switch(
        True, "Stretch RankGauss to deviation 1 (the inverse error function alone gives 0.707).",
        tasks=TABLE, needs=NUMERIC | one("num_encoder", "rankgauss"), impact="High",
        source="Jahrer 2017",
        first_sweep=(False, True))
    cat_encoder: str = choice(
        "embedding", ("onehot", "embedding", "target"),
        "How a category is encoded: one input each, a learned vector, or the mean target of its rows.",
        tasks=TABLE, needs=CATEGORIES, impact="High", value_needs={"target": LABELLED},
        source="scikit-learn, OneHotEncoder, TargetEncoder; entity embeddings: arXiv 1604.06737",
        first_sweep=("onehot", "embedding", "target"))
    emb_dim: int | str = integer(
        "sqrt", 1, 1024,
        "Length of a category's vector; sqrt is the root of the number of categories, rounded up.",
        words=("sqrt",), tasks=TABLE, needs=CATEGORIES | one("cat_encoder", "embedding"),
        log=True, impact="High", source="arXiv 1604.06737", first_sweep=(2, 16))
    target_smooth: float = real(
        10.0, 0.0, 10_000.0, "Rows by which a category's mean target is pulled to the mean of all.",
        unit="rows", tasks=TABLE, needs=CATEGORIES | one("cat_encoder", "target"), log=True,
        source="Micci-Barreca, SIGKDD Explorations 2001", first_sweep=(1.0, 100.0))
    target_norm: str = choice(
        "standard", ("none", "standard", "log"),
        "How a number to predict is scaled in training (log: log(1 + y), then standard); metrics never are.",
        needs=NUMBERS, source="scikit-learn, TransformedTargetRegressor", first_sweep=("standard", "log"))
    image_norm: str = choice(
        "dataset", ("none", "dataset", "pretrained"),
        "Mean and deviation per channel: of the training rows, or those that the pre-trained network saw.",
        defaults=((PRETRAINED, "pretrained"),), value_needs={"pretrained": PRETRAINED},
        tasks=IMAGE, impact="High", source="timm.data.resolve_model_data_config",
        hint="From scratch those of your data; a transferred network wants those it has learned with.",
        first_sweep=("none", "dataset"))
    image_size: int = integer(
        0, 0, 2048, "Side of the images that the network sees; 0 is their own (of files: 224).",
        unit="pixels", tasks=IMAGE, impact="Medium", source="EfficientNet arXiv 1905.11946",
        hint="Photographs at 120, 224 or 512: more is usually better, and costs its square.",
        first_sweep=(16, 32))
    test_size: int = integer(
        0, 0, 2048, "Side of the images in evaluation; 0 is that of training.",
        unit="pixels", tasks=IMAGE, needs=one("architecture", "cnn", "transformer", "timm", "import"),
        source="FixRes arXiv 1906.06423", hint="About 1.3 times the side of training.", first_sweep=(16, 32),
        horizon="evaluation")
    test_crop: float = real(
        1.0, 0.1, 1.0, "Share of each side that evaluation cuts out of the middle, then scales to its size.",
        unit="share of side", tasks=IMAGE, source="arXiv 2110.00476", first_sweep=(0.875, 1.0),
        horizon="evaluation")
    shuffle: bool = switch(
        True, "A new order of the rows in each epoch.", source="LeCun et al.: Efficient BackProp, 1998",
        first_sweep=(False, True))
    sampling: str = choice(
        "all", ("all", "balanced"),
        "Whether an epoch holds every row once, or as many rows drawn so that classes are equally frequent.",
        needs=CLASSES, value_needs={"balanced": one("shuffle", True)}, source="arXiv 1710.05381",
        first_sweep=("all", "balanced"))
    repeated_augmentation: int = integer(
        1, 1, 16,
        "Times that a row stands in a batch, augmented anew each time; an epoch then holds fewer rows.",
        needs=one("shuffle", True) | one("sampling", "all"), source="arXiv 1901.09335", first_sweep=(1, 3))


@dataclass(frozen=True)
class Augmentation:
    """Augmentation. Drawn for each row anew, in training only."""

    random_resized_crop: float = real(
        0.0, 0.0, 0.99, "Smallest share of an image's area that is cut out and scaled to its size; 0 is off.",
        unit="share of area", tasks=IMAGE, impact="High", source="arXiv 1409.4842", first_sweep=(0.08, 0.9))
    flip: float = real(
        0.0, 0.0, 1.0, "Probability of a horizontal flip.",
        unit="probability", tasks=IMAGE, impact="High", source="Krizhevsky et al., NeurIPS 2012",
        first_sweep=(0.0, 0.5))
    flip_vertical: float = real(
        0.0, 0.0, 1.0, "Probability of a vertical flip.",
        unit="probability", tasks=IMAGE, impact="High", source="torchvision, RandomVerticalFlip",
        first_sweep=(0.0, 0.5))
    crop_pad: int = integer(
        0, 0, 128, "Largest shift of an image to each side; what comes in is a reflection.",
        unit="pixels", tasks=IMAGE, impact="High", source="arXiv 1512.03385", first_sweep=(0, 4))
    rotate: float = real(
        0.0, 0.0, 180.0, "Largest rotation to each side.",
        unit="degrees", tasks=IMAGE, impact="High", source="Simard et al., ICDAR 2003",
        first_sweep=(0.0, 20.0))
    zoom: float = real(
        0.0, 0.0, 0.9, "Largest change of scale to each side, as a share.",
        unit="share of side", tasks=IMAGE, impact="High", source="Simard et al., ICDAR 2003",
        first_sweep=(0.0, 0.2))
    jitter: float = real(
        0.0, 0.0, 1.0, "Largest change of brightness and contrast (of colour images also saturation, hue).",
        tasks=IMAGE, impact="High", 
        source="torchvision, ColorJitter; hue by a quarter: arXiv 2002.05709", first_sweep=(0.0, 0.4))
    erase: float = real(
        0.0, 0.0, 1.0, "Probability that a rectangle is erased.",
        unit="probability", tasks=IMAGE, impact="High", source="arXiv 1708.04896",
        first_sweep=(0.0, 0.5))
    rand_augment_n: int = integer(
        0, 0, 14, "RandAugment: operations that each image undergoes, drawn from 14.",
        unit="operations", tasks=IMAGE, impact="High", source="arXiv 1909.13719",
        hint="2, with a magnitude of 9.", first_sweep=(0, 3))
    rand_augment_m: float = real(
        9.0, 0.0, 30.0, "RandAugment: magnitude of the operations, 30 is the strongest.",
        tasks=IMAGE, needs=more("rand_augment_n"), impact="High", source="arXiv 1909.13719",
        first_sweep=(3.0, 15.0))
    rand_augment_std: float = real(
        0.0, 0.0, 10.0, "RandAugment: deviation of the magnitude from draw to draw.",
        tasks=IMAGE, needs=more("rand_augment_n"), impact="High", source="timm, rand_augment_transform",
        first_sweep=(0.0, 1.0))
    mixup_alpha: float = real(
        0.0, 0.0, 10.0,
        "MixUp: rows are blended in pairs by a share from Beta(a, a); of tokens their vectors.",
        impact="High", source="arXiv 1710.09412", hint="0.1 to 0.4.", first_sweep=(0.0, 0.8))
    cutmix_alpha: float = real(
        0.0, 0.0, 10.0,
        "CutMix: a part of each row (rectangle, span, columns) comes from another, by Beta(a, a).",
        impact="High", source="arXiv 1905.04899", hint="1; beside MixUp each pair undergoes one of the two.",
        first_sweep=(0.0, 1.0))
    noise: float = real(
        0.0, 0.0, 10.0, "Deviation of noise added to encoded columns of numbers.",
        tasks=TABLE, impact="High", source="Bishop, Neural Computation 1995", first_sweep=(0.0, 0.3))
    swap_noise: float = real(
        0.0, 0.0, 0.9, "Probability that a cell takes the value of another row of the batch.",
        unit="probability", tasks=TABLE, impact="High", source="Jahrer 2017", first_sweep=(0.0, 0.15))
    token_drop: float = real(
        0.0, 0.0, 0.9, "Probability that a token is hidden from the network.",
        unit="probability", tasks=SEQUENCE, needs=DISCRETE, impact="High", source="arXiv 1511.01432",
        first_sweep=(0.0, 0.2))
    span_mask: float = real(
        0.0, 0.0, 0.9, "Share of each sequence that is hidden as one run of tokens.",
        unit="share of tokens", tasks=SEQUENCE, needs=DISCRETE, impact="High", source="arXiv 1907.10529",
        first_sweep=(0.0, 0.3))
# fmt: on
