"""How a run begins: a network that knows nothing does as badly as a guess, on centred inputs."""

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hypersweep_trainer import loss
from hypersweep_trainer.check.sample import ROWS, spread, taken
from hypersweep_trainer.check.verdict import Verdict, fail, hint, ok
from hypersweep_trainer.data import Data
from hypersweep_trainer.form import Form
from hypersweep_trainer.loss import Loss
from hypersweep_trainer.options import Options

NEAR = 0.1  # how far, as a share, a first loss may be from that of a guess
SATURATED = 10.0  # times the loss of a guess; first weights of every `init` stay well below
CENTRE, AWAY = 0.01, 0.25  # deviations by which the mean of an input may be, and must not be, off from 0
CENTRING = {"quantile": "rankgauss or standard", "rankgauss": "standard"}  # in place of an encoder
MANY = 1 << 16  # rows of a table of which means are taken
CHUNK = 128  # rows of one forward pass


def chance(options: Options, data: Data, device: torch.device) -> float:
    """The loss of a guess that knows nothing: equal chances for all classes, for numbers their mean.

    Of a scaled target that is 1 for squared errors and, if it is normal, 0.798 for absolute ones. A target in
    its own units is guessed to be 0, as a network without bias does at first.
    """
    if data.form.target in ("classification", "tokens"):
        return _equal(options, _classes(data))
    _, y = taken(data, spread(data, _enough(data), device))
    scaled = data.form.target == "regression" and options.target_norm != "none"
    return _blind(_rule(options, data), data.form, y - y.mean() if scaled else y)


def _enough(data: Data) -> int:
    """Rows that tell a loss: of numbers far more, where few of them may hold most of the squares."""
    return MANY if data.form.task == "tabular" and data.form.target == "regression" else ROWS


def _equal(options: Options, classes: int) -> float:
    """The loss of equal chances for so many classes."""
    match options.loss:
        case "bce":
            return math.log(2)
        case "hinge":
            return 1.0 if classes == 2 else 1 - 1 / classes
        case "focal":
            return float((1 - 1 / classes) ** options.focal_gamma) * math.log(classes)
    return math.log(classes)


def _classes(data: Data) -> int:
    """How many there are to guess from; of a table's those that training rows have."""
    return sum(share > 0 for share in data.frequencies) or data.form.outputs


def _rule(options: Options, data: Data) -> Loss:
    return loss.build(options, data.form, data.frequencies)


def _blind(rule: Loss, form: Form, y: Tensor) -> float:
    """The mean loss where every output is 0; of classes any row tells it."""
    y = y if form.target in ("regression", "reconstruction") else y[:1]
    shape = tuple(y.shape) if form.target == "reconstruction" else (*y.shape, form.outputs)
    losses: Tensor = rule.plain(torch.zeros(shape, device=y.device), y)
    return float(losses.mean())


def first_loss(network: nn.Module, options: Options, data: Data, device: torch.device) -> Verdict:
    """The targets are such that a guess has the loss of a guess, and the network is as bad as that."""
    form, rule, guess = data.form, _rule(options, data), chance(options, data, device)
    x, y = taken(data, spread(data, _enough(data), device))
    if form.target in ("classification", "tokens") and not 0 <= int(y.min()) <= int(y.max()) < form.outputs:
        ends = f"from 0 to {form.outputs - 1}, but are from {int(y.min())} to {int(y.max())}"
        return fail(math.nan, guess, f"targets must be {ends}: look at the labels")
    blind = _blind(rule, form, y)
    if abs(blind - guess) > NEAR * guess:
        words = f"the loss of outputs that are 0 is {blind:.4g}, that of a guess {guess:.4g}"
        return fail(blind, guess, f"{words}: look at the labels, whether {_expected(data)}")
    found, error = _of_first_weights(network, rule, x, y)
    words = f"the first loss is {found:.4g}, that of a guess {guess:.4g}"
    if not found < SATURATED * guess + 3 * error:
        return fail(found, guess, f"{words}: the first weights of the last layer are too large")
    if abs(found - guess) > NEAR * guess + 3 * error:
        return hint(found, guess, f"{words}: smaller first weights of the last layer would save steps")
    return ok(found, guess, words)


def _expected(data: Data) -> str:
    if data.form.target == "regression":
        return "their mean is 0"
    return f"{_classes(data)} classes of {data.form.outputs} are all there are"


@torch.no_grad()
def _of_first_weights(network: nn.Module, rule: Loss, x: Tensor, y: Tensor) -> tuple[float, float]:
    """The mean loss and its standard error, as in evaluation; but batch norm has no running means yet."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if getattr(module, "running_mean", None) is not None:
            module.register_forward_pre_hook(_met)
    parts = -(-len(x) // CHUNK)
    pairs = zip(x.tensor_split(parts), y.tensor_split(parts), strict=True)
    losses = torch.cat([rule.plain(network(rows), targets) for rows, targets in pairs]).double()
    return float(losses.mean()), float(losses.std(correction=0)) / math.sqrt(len(losses))


def _met(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Let a norm in evaluation use the statistics of these rows: in training it may wait for other ranks."""
    x = inputs[0].transpose(0, 1).flatten(1).float()
    norm.running_mean, norm.running_var = x.mean(1), x.var(1, correction=0)


def zero_mean(options: Options, data: Data, device: torch.device) -> Verdict:
    """Each input is centred over the training rows (LeCun et al. 1998, Efficient BackProp, 4.3).

    Nothing is said of tokens, nor of images on the scale of other images that a network has learned from;
    columns of two values are flags, which RankGauss leaves as they are. An encoder that centres most columns
    is no fault: quantiles put a number that many rows share, and that is the least or the greatest, at -5.2
    or 5.2.
    """
    if data.form.task == "sequence" or options.image_norm == "pretrained":
        return {}
    table = data.form.task == "tabular"
    rows = spread(data, MANY if table else ROWS, device)
    x, _ = taken(data, rows)
    names, inputs = _columns(x, data) if table else _channels(x)
    if not inputs.numel():
        return {}
    means, deviations = inputs.mean(1), inputs.std(1, correction=0).clamp_min(1e-12)
    off = (means / deviations).abs()
    found, where = float(off.max()), names[int(off.argmax())]
    sampled = 3 / math.sqrt(len(rows)) if len(rows) < len(data.train) else 0.0
    words = f"the mean of {where} is {found:.3g} deviations off from 0"
    if found < CENTRE + sampled:
        return ok(found, 0.0, words)
    option, encoder = ("num_encoder", options.num_encoder) if table else ("image_norm", options.image_norm)
    if encoder == "none":
        words = f"{words}: set {option}"
        return hint(found, 0.0, words) if found < AWAY + sampled else fail(found, 0.0, words)
    better = CENTRING.get(encoder)
    return hint(found, 0.0, f"{words} with {option} {encoder}" + (f": try {better}" if better else ""))


def _channels(x: Tensor) -> tuple[list[str], Tensor]:
    """The channels of images, (channels, numbers), and what sentences call them."""
    return [f"channel {place}" for place in range(1, x.shape[1] + 1)], x.transpose(0, 1).flatten(1)


def _columns(x: Tensor, data: Data) -> tuple[list[str], Tensor]:
    """The columns of numbers, without flags, (columns, n), and what sentences call them."""
    columns = x[:, : data.form.numbers].T.double()
    flags = ((columns == columns.amin(1, True)) | (columns == columns.amax(1, True))).all(1)
    named = zip(_names(data.encoding["table"]), flags.tolist(), strict=True)
    return [f"column {name}" for name, flag in named if not flag], columns[~flags]


def _names(table: Mapping[str, Any]) -> Iterator[str]:
    """The column of the table that each input of numbers comes from."""
    for number in table["numbers"]:
        yield number["name"]
    for category in table["categories"]:
        match table["kind"]:
            case "onehot":
                yield from [category["name"]] * len(category["values"])
            case "target":
                yield from [category["name"]] * len(category["means"][0])
