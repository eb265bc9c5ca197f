"""Few rows, learned by heart, and what regularisation then does to them."""

import copy
import time
from dataclasses import replace

import torch
from torch import Tensor, nn

from hypersweep_trainer import augment, loss, model, optim
from hypersweep_trainer.augment import Augment
from hypersweep_trainer.check.bare import bare, built, regularisers
from hypersweep_trainer.check.sample import spread, taken
from hypersweep_trainer.check.start import chance
from hypersweep_trainer.check.verdict import Verdict, fail, hint, ok
from hypersweep_trainer.config import Config
from hypersweep_trainer.counter import draw
from hypersweep_trainer.data import Data
from hypersweep_trainer.loss import Loss
from hypersweep_trainer.model.transfer import adopt
from hypersweep_trainer.options import OPTIONS
from hypersweep_trainer.penalty import Penalty
from hypersweep_trainer.stop import Look, unasked

ROWS, STEPS = 16, 500
SECONDS = 60.0  # for a network so large that the check would cost more than it can save
RATE = float(OPTIONS["lr"].default)
# Both means forget equally fast: steps then do not shrink while gradients do. With the usual 0.999 two of the
# bundled sets need more steps; so every one of them, and small networks of each kind, are done after 460.
BETAS = (0.9, 0.9)
CLOSE = 1e-3  # the loss that must be reached; of numbers as a share of that of a guess:
SQUARES = 1e-4
ABSOLUTE = 1e-2
BARS = {
    **dict.fromkeys(("mse", "huber", "log_cosh", "msle"), SQUARES),
    **dict.fromkeys(("mae", "quantile", "mape"), ABSOLUTE),
}
LITTLE = 0.25  # the share of a guess's loss above which next to nothing was learned
FAR = 10.0  # times 1, or a share of it: steps of `RATE` are then small or large beside targets
DRAWS = 64  # of rare noise, until it shows
ROUNDED = 1e-4  # the share of a loss that sums in another order cannot come to
PULLS = ("l1", "l2", "weight_decay")  # what acts on weights, and not on rows
RAISES = (
    "label_smoothing",
)  # what makes the loss of a network that has learned the labels larger for certain


class Few:
    """A network without regularisation and the few rows that it learns by heart."""

    def __init__(self, config: Config, data: Data, device: torch.device, look: Look = unasked) -> None:
        self._config, self._data, self._device, self._look = config, data, device, look
        self._learned: model.Network | None = None

    def overfit(self) -> Verdict:
        """Whether the loss on few rows falls to nothing, and stays there when they are taken anew."""
        data, config = self._data, bare(self._config)
        options, rows = config.options, _distinct(data, self._device)
        rule, guess = loss.build(options, data.form, data.frequencies), chance(options, data, self._device)
        wanted = BARS[options.loss] * guess if options.loss in BARS else CLOSE
        network = built(config, data, self._device).train()
        learned, steps = _learn(network, rule, *taken(data, rows), wanted, self._look)
        again = _loss(network, rule, *taken(data, rows))
        words = f"the loss on {len(rows)} rows is {again:.2g} after {steps} steps"
        if learned < wanted and not again < wanted:
            return fail(again, wanted, f"{words}, but was {learned:.2g} before: rows come with other targets")
        if again < wanted:
            self._learned = network
            return ok(again, wanted, words)
        words, scale = f"{words}, but should be below {wanted:.2g}", self._scale()
        if again < LITTLE * guess or steps < STEPS:
            return hint(again, wanted, f"{words}: the network is small, or learns slowly{scale}")
        return fail(
            again, wanted, f"{words}: too small a network, wrong first weights, or wrong targets{scale}"
        )

    def _scale(self) -> str:
        """That targets are far from 1 and nothing scales them: a step of Adam is as long as its rate."""
        data, options = self._data, self._config.options
        if data.form.target != "regression" or options.target_norm != "none" or data.form.bounds is not None:
            return ""
        _, y = taken(data, spread(data, ROWS, self._device))
        size = float(y.double().square().mean().sqrt())
        unscaled = "target_norm" in OPTIONS["loss"].value_needs.get(options.loss, {})
        advice = "choose another unit" if unscaled else "set target_norm"
        return "" if 1 / FAR < size < FAR else f"; targets are around {size:.0e}: {advice}"

    def regularisation(self) -> Verdict:
        """Each regulariser that is on does what it is there for to a network that has learned rows by heart.

        A penalty pulls the weights towards 0, label smoothing raises the loss; of noise it is known that it
        changes the loss of one draw, but not in which direction.
        """
        on = regularisers(self._config)
        if self._learned is None or not on:
            return {}
        each = {name: bare(self._config, **{name: value}) for name, value in on.items()}
        dead = [name for name, one in each.items() if not self._felt(name, one, self._learned)]
        if dead:
            return fail(len(dead), 0, f"{', '.join(dead)}: changes nothing, neither a loss nor a weight")
        return ok(0, 0, f"felt: {', '.join(on)}")

    def _felt(self, name: str, one: Config, learned: model.Network) -> bool:
        """Whether a configuration's one regulariser does anything."""
        if name in PULLS:
            return _pulls(one, learned)
        data, rows = self._data, spread(self._data, ROWS, self._device)
        rule = loss.build(bare(one).options, data.form, data.frequencies)
        without = _loss(learned, rule, *taken(data, rows))
        network = built(one, data, self._device).train()
        adopt(network, learned.state_dict())
        for number in range(DRAWS):
            self._look()
            change = _disturbed(one, data, network, rows, number) - without
            if (change if name in RAISES else abs(change)) > ROUNDED * without:
                return True
        return False


def _distinct(data: Data, device: torch.device) -> Tensor:
    """Numbers of few rows that can be told apart; of tokens one row, which is many."""
    rows = spread(data, 1 if data.form.target == "tokens" else ROWS, device)
    _, kind = torch.unique(taken(data, rows)[0].flatten(1), dim=0, return_inverse=True)
    first = {code: place for place, code in reversed(list(enumerate(kind.tolist())))}
    return rows[sorted(first.values())]


def _learn(
    network: nn.Module, rule: Loss, x: Tensor, y: Tensor, wanted: float, look: Look
) -> tuple[float, int]:
    """Steps on the same rows until the loss is as low as it is wanted; that loss, and how many they were."""
    optimizer = torch.optim.Adam(network.parameters(), RATE, BETAS)
    deadline = time.monotonic() + SECONDS
    for step in range(STEPS):
        look()
        mean = rule.mean(network(x), y)
        found = float(mean.detach())
        if found < wanted or time.monotonic() > deadline:
            return found, step
        optimizer.zero_grad()
        mean.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return _loss(network, rule, x, y), STEPS


@torch.no_grad()
def _loss(network: nn.Module, rule: Loss, x: Tensor, y: Tensor) -> float:
    return float(rule.mean(network(x), y))


def _pulls(config: Config, network: model.Network) -> bool:
    """Whether a step without a gradient of the loss goes against the weights, as that of a penalty must.

    L + penalty > L is then sure: where a step down its slope leads towards 0, it grows from there on. In
    float64, which sees the weakest pull; gradient noise, which would push any way, is left out.
    """
    options = replace(config.options, grad_noise=0.0)
    network = copy.deepcopy(network).double()
    before = [weight.detach().clone() for weight in network.parameters()]
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    Penalty(options, network).apply(0, 0)
    optim.optimizer(options, network, model.levels(network)).step()
    moved = zip(before, network.parameters(), strict=True)
    return sum(float((old * (new.detach() - old)).sum()) for old, new in moved) < 0


@torch.no_grad()
def _disturbed(config: Config, data: Data, network: model.Network, rows: Tensor, number: int) -> float:
    """The loss with one draw of what makes noise, or other targets."""
    options = config.options
    rule = loss.build(options, data.form, data.frequencies)
    torch.default_generator.manual_seed(draw("noise", number))
    if not augment.wanted(options):
        return _loss(network, rule, *taken(data, rows))
    batches = Augment(options, data.form, data.normalise, rows.device)
    batch = batches(data.train.take, rows, slice(0, len(rows)), draw("noise", number))
    return float(rule.total(network(batch.x, batch.other, batch.share), batch)) / len(rows)
