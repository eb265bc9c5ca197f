"""Options of the network: its kind, layers, initialisation, and what it takes over from another one."""

from dataclasses import dataclass

from hypersweep_trainer.options.facts import ARCHITECTURES, IMPORT
from hypersweep_trainer.options.need import (
    ATTENTION,
    CONV,
    DENSE,
    GRID,
    IMAGE,
    LABELLED,
    LEARNED,
    LIBRARY,
    NUMBERS,
    OWN,
    RESIDUAL,
    TABULAR,
    lasting,
    more,
    one,
)  # fmt: skip
from hypersweep_trainer.options.option import (
    Given,
    choice,
    integer,
    integers,
    real,
    reals,
    switch,
    text,
    texts,
)

LAYERS = OWN | {"hidden": ((),)}
PREDICTED = ("classification", "regression", "tokens")
LABELLED_OWN = LABELLED | OWN | {"pretrained": ("",)}
ACTIVATIONS = (
    "relu", "gelu", "silu", "swish", "mish", "leaky_relu", "elu", "selu", "tanh", "lecun_tanh", "sigmoid",
    "glu", "geglu", "swiglu",
)  # fmt: skip
INITS = (
    "auto", "torch_default", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal",
    "orthogonal", "trunc_normal",
)  # fmt: skip
GAINED = tuple(name for name in INITS if name != "torch_default")


# fmt: off
@dataclass(frozen=True)
class Network:
    """Model. The network and its layers."""

    model: str = text(
        "mlp", rf"timm:[\w.-]+|{IMPORT}", "timm:NAME or module:attribute",
        "Kind of network: fully connected, convolutional, a transformer, one of timm's by name, or your own.",
        values=ARCHITECTURES, value_needs={
            "mlp": one("task", "image", "tabular"), "cnn": one("task", "image", "sequence") | LABELLED,
            "transformer": one("task", "image", "sequence") | one("target", *PREDICTED)},
        defaults=((one("task", "sequence"), "transformer"),), source="timm.create_model",
        hint="Your own module:attribute is a class or function of `shape` and `outputs`: docs/own-code.md.",
        first_sweep=("mlp", "cnn"))
    hidden: tuple[int, ...] = integers(
        (), 1, 65_536, "Sizes of the hidden layers one by one, instead of `width` and `depth`.",
        unit="units", needs=DENSE, impact="High", source="arXiv 1206.5533", first_sweep=((64,), (128, 64)))
    width: int = integer(
        96, 1, 65_536,
        "Units of each hidden layer; channels of the first convolution; length of a token's vector.",
        defaults=((CONV, 32), (ATTENTION, 64), (TABULAR, 128)),
        unit="units", needs=LAYERS, log=True, impact="High", source="arXiv 1206.5533",
        hint="A new problem: a few dozen, then grow. With dropout p try about 1 / (1 - p) times as many.",
        first_sweep=(16, 256))
    depth: int = integer(
        2, 1, 256, "Number of hidden layers or blocks.",
        defaults=((CONV, 3),), unit="layers", needs=LAYERS, impact="Medium", source="arXiv 1512.03385",
        hint="A new problem: 3 to 5 layers, the output's among them; more once all else checks out.",
        first_sweep=(1, 5))
    activation: str = choice(
        "gelu", ACTIVATIONS,
        "Nonlinearity after each layer; swish learns its slope, gated ones (GLU) double its inner size.",
        needs=OWN, impact="Low",
        source="GELU arXiv 1606.08415; SiLU 1702.03118; Swish 1710.05941; Mish 1908.08681; GLU 2002.05202; "
        "SELU 1706.02515; 1.7159 tanh(2x/3): LeCun et al. 1998",
        first_sweep=("relu", "gelu", "silu", "mish", "swiglu"))
    init: str = choice(
        "auto", INITS, "Distribution of the first weights; auto goes by the nonlinearity.",
        needs=OWN, impact="Medium", source="Xavier: Glorot and Bengio 2010; Kaiming: arXiv 1502.01852",
        hint="Xavier where layers saturate (tanh, sigmoid), Kaiming for ReLU and its kin: so does auto.",
        first_sweep=("auto", "torch_default", "orthogonal"))
    init_gain: float = real(
        1.0, 0.01, 100.0, "Factor of the first weights beside what `init` says.",
        needs=OWN | one("init", *GAINED), log=True, impact="Medium", source="torch.nn.init.calculate_gain",
        first_sweep=(0.5, 2.0))
    norm: str = choice(
        "layer", ("none", "batch", "layer", "group", "rms"), "Normalisation at each layer.",
        defaults=((TABULAR, "none"),), needs=OWN,
        source="batch: arXiv 1502.03167; layer: 1607.06450; group: 1803.08494; RMS: 1910.07467",
        hint="batch for convolutions with 16 rows or more on each rank, layer or rms for transformers.",
        value_needs={"batch": one("architecture", "mlp", "cnn")}, first_sweep=("none", "batch", "layer"))
    norm_groups: int = integer(
        8, 1, 1024,
        "Groups of channels normalised together; where these cannot be shared out, the most below that can.",
        needs=OWN | one("norm", "group"), unit="groups", source="arXiv 1803.08494", first_sweep=(2, 8))
    norm_position: str = choice(
        "post", ("pre", "post"), "Whether a layer is normalised before its weights or after them.",
        needs=OWN | one("norm", "batch", "layer", "group", "rms"), defaults=((ATTENTION, "pre"),),
        source="arXiv 2002.04745", first_sweep=("pre", "post"))
    sync_bn: bool = switch(
        False, "Batch norm over the rows of all ranks instead of each rank's own.",
        needs=OWN | one("norm", "batch") | more("ranks", 1), source="torch.nn.SyncBatchNorm",
        first_sweep=(False, True))
    residual: str = choice(
        "auto", ("auto", "on", "off"),
        "Add each block's input to its output; auto in transformers, and where there are more than 3 blocks.",
        needs=OWN, impact="Low", source="arXiv 1512.03385", first_sweep=("on", "off"))
    zero_init_residual: bool = switch(
        False, "Start every residual block as the identity.",
        needs=OWN | RESIDUAL, source="arXiv 1706.02677", first_sweep=(False, True))
    stochastic_depth: float = real(
        0.0, 0.0, 0.95, "Probability that the last block is skipped for a row, less for those before it.",
        unit="probability", needs=LIBRARY | one("residual", "on", "auto"), impact="Low",
        source="arXiv 1603.09382", first_sweep=(0.0, 0.2))
    dropout: float = real(
        0.0, 0.0, 0.95, "Share of the hidden activations that each training step sets to zero.",
        defaults=((TABULAR, 0.4),), unit="probability", needs=LIBRARY, impact="Medium",
        source="Srivastava et al., JMLR 2014",
        hint="0.2 to 0.5. Too much underfits: try a larger network beside it.", first_sweep=(0.0, 0.5))
    dropout_scale: str = choice(
        "mean", ("mean", "std", "alpha"),
        "What dropout preserves: the mean, the deviation, or both where SELU needs it (alpha dropout).",
        needs=OWN | more("dropout"), value_needs={"alpha": one("activation", "selu")},
        impact="Medium", source="arXiv 1706.02515", first_sweep=("mean", "std"))
    dropconnect: float = real(
        0.0, 0.0, 0.95, "Share of the hidden weights that each training step sets to zero.",
        unit="probability", needs=OWN, impact="Low", source="Wan et al., ICML 2013", first_sweep=(0.0, 0.3))
    kernel: int = integer(
        3, 1, 63, "Side of a convolution.",
        unit="pixels", tasks=GRID, needs=CONV, source="arXiv 1409.1556",
        hint="3 or 4 with more layers; large ones such as 27 are history.", first_sweep=(3, 7))
    downsample: str = choice(
        "maxpool", ("maxpool", "avgpool", "stride", "none"),
        "How each convolutional block halves the resolution.",
        tasks=GRID, needs=CONV, source="arXiv 1412.6806", first_sweep=("maxpool", "stride"))
    dilation: int = integer(
        1, 1, 64, "Distance between the points of a convolution.",
        unit="pixels", tasks=GRID, needs=CONV | more("kernel", 1), source="arXiv 1511.07122",
        hint="With `downsample: none`, sees as far without losing resolution.", first_sweep=(1, 4))
    aspp_rates: tuple[int, ...] = integers(
        (), 1, 256, "Dilations of parallel convolutions before the head (atrous spatial pyramid pooling).",
        unit="pixels", tasks=GRID, needs=CONV, source="arXiv 1706.05587", first_sweep=((), (1, 2, 4)))
    se_ratio: int = integer(
        0, 0, 64, "Squeeze-and-excitation: by how much its inner layer is smaller; 0 is off.",
        tasks=GRID, needs=CONV, source="arXiv 1709.01507", first_sweep=(0, 16))
    coordconv: str = choice(
        "off", ("off", "on", "radius"),
        "Feed convolutions each point's place as channels; radius adds the distance from the middle.",
        tasks=GRID, needs=CONV, impact="Low", source="arXiv 1807.03247",
        hint="Where the place itself means something, as in spectrograms.", first_sweep=("off", "on"))
    patch: int = integer(
        2, 1, 64, "Side of the square of pixels that a transformer takes as one token.",
        unit="pixels", tasks=IMAGE, needs=ATTENTION, log=True, source="arXiv 2010.11929", first_sweep=(1, 4))
    heads: int = integer(
        4, 1, 128,
        "Attention heads of a transformer; each has width / heads units, rounded (with rope to pairs).",
        tasks=GRID, needs=ATTENTION, log=True, source="arXiv 1706.03762", first_sweep=(1, 8))
    mlp_ratio: float = real(
        4.0, 0.25, 16.0, "Inner size of a transformer block's second half, as a multiple of the width.",
        tasks=GRID, needs=ATTENTION, source="arXiv 1706.03762", first_sweep=(1.0, 4.0))
    pos_enc: str = choice(
        "learned", ("none", "sincos", "learned", "rope"), "How a transformer knows the place of a token.",
        tasks=GRID, needs=ATTENTION, impact="Low", source="arXiv 1706.03762; RoPE: 2104.09864",
        first_sweep=("sincos", "learned", "rope"))
    tie_weights: bool = switch(
        False, "Use the weights of the first layer for the last one, too.",
        needs=one("target", "tokens", "reconstruction") | one("architecture", "mlp", "transformer"),
        source="arXiv 1608.05859", hint="Where what comes out is of the kind of what goes in.",
        first_sweep=(False, True))
    output_range: tuple[float, ...] = reals(
        (), -1e12, 1e12,
        "Two ends between which a sigmoid holds every prediction, in the target's own units.",
        needs=NUMBERS, source="fastai, sigmoid_range",
        hint="Only where the range is certain: outputs are best left as they are (logits).",
        unswept="a fact of the target")


@dataclass(frozen=True)
class Transfer:
    """Transfer. What the network takes over from another one."""

    pretrained: str = text(
        "", r"true|sweep://.+|s3://.+|.*[/.].*",
        "true (timm's own weights), a model's folder or sweep://NAME/best",
        "Weights to start from; the head starts anew where the classes differ.",
        needs=LIBRARY, impact="High", value_needs={"true": one("architecture", "timm")},
        source="arXiv 1411.1792", hint="With `preset: transfer`: a few epochs, the new layers first.",
        unswept="the weights that there are")
    freeze: tuple[str, ...] = texts(
        "patterns of parameter names",
        "Parameters that keep their values, taken over or of the first stage, `*` for any part of a name.",
        needs=LEARNED, impact="High", source="arXiv 1411.1792",
        hint="`body.*` lets the new layers learn alone.", first_sweep=((), ("body.*",)))
    unfreeze_epoch: int = integer(
        0, 0, 100_000, "Epoch, counted from 1, from which on the frozen parameters move; 0 is never.",
        unit="epochs", needs=LEARNED | {"freeze": Given()} | lasting("unfreeze_epoch"),
        impact="High", source="arXiv 1801.06146", first_sweep=(0, 3), horizon="epoch")
    pretrain: str = choice(
        "none", ("none", "autoencoder", "masked", "lm"),
        "A first stage without labels: rebuild the input, its hidden parts, or predict the next token.",
        needs=LABELLED_OWN, value_needs={
            "autoencoder": DENSE, "masked": one("architecture", "mlp", "transformer"),
            "lm": ATTENTION | one("task", "sequence")},
        source="arXiv 1810.04805; Vincent et al., JMLR 2010", first_sweep=("none", "masked"))
    pretrain_epochs: int = integer(
        10, 1, 100_000, "Passes of the first stage over the training rows.",
        unit="epochs", needs=LABELLED_OWN | one("pretrain", "autoencoder", "masked", "lm"), log=True,
        source="Erhan et al., JMLR 2010", first_sweep=(3, 30))
    mask_fraction: float = real(
        0.15, 0.01, 0.95, "Share of the input that the first stage hides.",
        unit="share of input", needs=LABELLED_OWN | one("pretrain", "masked"), source="arXiv 1810.04805",
        hint="0.15 of a text; of images and tables more.", first_sweep=(0.15, 0.6))
# fmt: on
