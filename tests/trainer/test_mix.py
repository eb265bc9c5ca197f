"""MixUp and CutMix: who is mixed with whom, by how much, and that targets say exactly that."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from hypersweep_trainer.augment.draws import Draws, Numbers
from hypersweep_trainer.augment.mix import Mix
from hypersweep_trainer.batch import Batch
from hypersweep_trainer.options import Options
from tests.trainer.augmenting import CPU, a_form, augmented, images


def blended(batch: Batch) -> Tensor:
    """Rows as a network has them whose embedding changes nothing."""
    assert batch.other is not None
    assert batch.share is not None
    share = batch.share.view(-1, *[1] * (batch.x.ndim - 1))
    return share * batch.x + (1 - share) * batch.other


def numbered(count: int, *shape: int) -> Tensor:
    """Rows that are filled with their own number."""
    return torch.arange(count).float().view(-1, *[1] * len(shape)).expand(count, *shape)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_shares_of_mixup_follow_a_beta_distribution(alpha: float) -> None:
    batch = augmented(torch.zeros(20_000, 1), mixup_alpha=alpha)  # 10,000 pairs
    assert batch.share is not None

    assert pytest.approx(0.5, abs=0.01) == float(batch.share.mean())
    assert pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05) == float(batch.share.var())


def test_mixup_blends_each_row_with_its_partner_and_targets_by_the_same_share() -> None:
    x, y = images(64), torch.arange(64)
    batch = augmented(x, y, mixup_alpha=0.4)
    assert batch.other is not None
    assert batch.other_y is not None
    assert batch.share is not None
    assert batch.weight is not None

    assert torch.equal(x, batch.x)
    assert torch.equal(y, batch.y)
    assert torch.equal(x[batch.other_y], batch.other)
    assert torch.equal(y, batch.other_y[batch.other_y])  # partners of each other
    assert not (y == batch.other_y).any()
    assert torch.equal(batch.share, batch.weight)
    assert torch.equal(batch.share, batch.share[batch.other_y])


def test_mixed_targets_sum_to_one() -> None:
    for options in ({"mixup_alpha": 0.2}, {"cutmix_alpha": 1.0}, {"mixup_alpha": 0.2, "cutmix_alpha": 1.0}):
        batch = augmented(images(64), torch.arange(64) % 10, **options)
        assert batch.other_y is not None
        assert batch.weight is not None
        one, other = (functional.one_hot(y, 10) for y in (batch.y, batch.other_y))
        targets = batch.weight[:, None] * one + (1 - batch.weight[:, None]) * other

        assert (targets.sum(1) - 1).abs().max() <= 1e-6
        assert targets.min() >= 0


@pytest.mark.parametrize("count", [64, 63, 1])
def test_mixing_leaves_the_mean_of_a_batch_as_it_is(count: int) -> None:
    x = images(count)
    mixup, cutmix = augmented(x, mixup_alpha=0.8), augmented(x, cutmix_alpha=1.0)

    assert (blended(mixup).mean(0) - x.mean(0)).abs().max() <= 1e-5
    assert (cutmix.x.mean(0) - x.mean(0)).abs().max() <= 1e-5


def test_without_alpha_nothing_is_mixed() -> None:
    x, y = images(8), torch.arange(8)
    batch = augmented(x, y, mixup_alpha=0.0, cutmix_alpha=0.0)

    assert torch.equal(x, batch.x)
    assert torch.equal(y, batch.y)
    assert (None, None, None, None) == (batch.other, batch.share, batch.other_y, batch.weight)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (3, 16, 24), (1, 1, 1)])
def test_cutmix_takes_one_rectangle_whose_area_is_the_weight_of_the_partner(shape: tuple[int, ...]) -> None:
    x = numbered(64, *shape)
    batch = augmented(x, cutmix_alpha=1.0)
    assert batch.other is None
    assert batch.other_y is not None
    assert batch.weight is not None
    foreign = batch.x == batch.other_y.view(-1, 1, 1, 1)

    assert torch.equal(torch.where(foreign, batch.other_y.view(-1, 1, 1, 1), x), batch.x)
    assert torch.equal(1 - foreign[:, 0].float().mean((1, 2)), batch.weight)
    lines, columns = foreign.any(1).any(2), foreign.any(1).any(1)
    assert torch.equal((lines[:, :, None] & columns[:, None, :])[:, None].expand_as(foreign), foreign)
    for edge in (lines, columns):
        assert (edge.int().diff(dim=1).abs().sum(1) <= 2).all()  # one run
    assert shape == (1, 1, 1) or (foreign.flatten(1).any(1)).float().mean() > 0.8


def test_the_rectangle_of_cutmix_has_the_ratio_of_the_images_sides() -> None:
    x = numbered(400, 1, 16, 64)
    foreign = (augmented(x, cutmix_alpha=1.0).x != x)[:, 0]
    lines, columns = foreign.any(2), foreign.any(1)
    inside = ~(lines[:, 0] | lines[:, -1] | columns[:, 0] | columns[:, -1]) & lines.any(1)
    high, wide = lines.sum(1)[inside], columns.sum(1)[inside]

    assert inside.sum() > 20
    assert ((wide >= 4 * high) & (wide < 4 * (high + 1))).all()


def test_the_weights_of_cutmix_are_distributed_as_torchvisions() -> None:
    reference = v2.CutMix(alpha=1.0, num_classes=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = [torch.zeros(1, 1, 32, 32)]
        theirs = [reference.make_params(x)["lam_adjusted"] for _ in range(4000)]
    weight = augmented(torch.zeros(8000, 1, 32, 32), cutmix_alpha=1.0).weight
    assert weight is not None

    quantiles = np.linspace(0.05, 0.95, 10)
    assert abs(np.quantile(theirs, quantiles) - np.quantile(weight, quantiles)).max() < 0.04
    assert pytest.approx(np.mean(theirs), abs=0.015) == float(weight.mean())


class Chosen(Draws):
    """Draws of which one share and one place are given, for all pairs."""

    def __init__(self, count: int, lam: float, place: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__(np.random.default_rng(0), count, np.arange(count), CPU)
        self._lam, self._place = lam, place

    def beta(self, alpha: float) -> Numbers:
        return np.full(self.count, self._lam)

    def shares(self, columns: int) -> Numbers:
        return np.tile(self._place, (self.count, 1))


class Always:
    """In place of torchvision's distribution."""

    def __init__(self, lam: float) -> None:
        self._lam = torch.tensor([lam])

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        return self._lam


def mixed(x: Tensor, y: Tensor, draws: Draws, **options: float) -> tuple[Tensor, Tensor]:
    """The images and soft labels of rows whose partner is the row before, as torchvision has it."""
    batch = Mix(Options(**options), a_form(x))(x, y, x.roll(1, 0), y.roll(1, 0), draws)
    assert batch.other_y is not None
    assert batch.weight is not None
    one, other = (functional.one_hot(labels, 10) for labels in (batch.y, batch.other_y))
    found = batch.x if batch.other is None else blended(batch)
    return found, batch.weight[:, None] * one + (1 - batch.weight[:, None]) * other


@pytest.mark.parametrize("lam", [0.0, 0.1, 0.5, 0.83, 1.0])
def test_mixup_of_a_given_share_is_torchvisions(lam: float) -> None:
    x, y = images(16), torch.arange(16) % 10
    reference = v2.MixUp(num_classes=10)
    reference._dist = Always(lam)
    expected_x, expected_y = reference(x, y)
    found_x, found_y = mixed(x, y, Chosen(16, lam), mixup_alpha=1.0)

    assert (expected_x - found_x).abs().max() <= 1e-6
    assert (expected_y - found_y).abs().max() <= 1e-6


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("side", [0.0, 0.25, 0.5, 0.75, 1.0])  # of the image's, an even number of pixels
def test_cutmix_of_a_given_share_and_place_is_torchvisions(side: float, seed: int) -> None:
    x, y = images(16, 3, 16, 32), torch.arange(16) % 10
    reference = v2.CutMix(num_classes=10)
    reference._dist = Always(1 - side**2)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        across, down = (int(torch.randint(size, (1,))) / size for size in (32, 16))
        torch.manual_seed(seed)
        expected_x, expected_y = reference(x, y)
    found_x, found_y = mixed(x, y, Chosen(16, 1 - side**2, (down, across)), cutmix_alpha=1.0)

    assert torch.equal(expected_x, found_x)
    assert (expected_y - found_y).abs().max() <= 1e-6


def test_each_pair_undergoes_mixup_or_cutmix_with_equal_probability() -> None:
    x = numbered(20_000, 1, 4, 4)
    batch = augmented(x, mixup_alpha=1.0, cutmix_alpha=1.0)
    assert batch.share is not None
    assert batch.weight is not None
    cut = batch.share == 1
    foreign = (batch.x != x).flatten(1).float().mean(1)

    assert pytest.approx(0.5, abs=0.02) == float(cut.float().mean())
    assert torch.equal(1 - foreign[cut], batch.weight[cut])
    assert 0 == foreign[~cut].max()
    assert torch.equal(batch.share[~cut], batch.weight[~cut])


def test_cutmix_of_a_table_swaps_columns_and_weighs_their_share() -> None:
    x = numbered(2000, 13)
    batch = augmented(x, cutmix_alpha=1.0)
    assert batch.other_y is not None
    assert batch.weight is not None
    foreign = batch.x == batch.other_y[:, None]

    assert torch.equal(1 - foreign.float().mean(1), batch.weight)
    assert torch.equal(foreign, foreign[batch.other_y])
    assert torch.equal(x.sum(0), batch.x.sum(0))
    assert (foreign.float().mean(0) - 0.5).abs().max() < 0.05  # any column as often as another


def tokens(count: int, context: int) -> Tensor:
    """Sequences of one token each, which is none of another's."""
    return numbered(count, context).long() + 1


def test_cutmix_of_sequences_swaps_one_run_and_weighs_its_length() -> None:
    x = tokens(256, 20)
    batch = augmented(x, cutmix_alpha=1.0)
    assert batch.other_y is not None
    assert batch.weight is not None
    foreign = batch.x == batch.other_y[:, None] + 1

    assert torch.int64 == batch.x.dtype
    assert torch.equal(1 - foreign.float().mean(1), batch.weight)
    assert (foreign.int().diff(dim=1).abs().sum(1) <= 2).all()
    assert foreign[:, 0].any()
    assert foreign[:, -1].any()


@pytest.mark.parametrize("x", [tokens(64, 20), numbered(64, 1, 8, 8) / 64, numbered(64, 9)])
def test_what_has_a_target_for_each_place_moves_together_with_it(x: Tensor) -> None:
    form = a_form(x, "reconstruction" if x.is_floating_point() else "tokens")
    batch = augmented(x, x, form=form, cutmix_alpha=1.0)

    assert not torch.equal(x, batch.x)
    assert torch.equal(batch.x, batch.y)
    assert (None, None, None, None) == (batch.other, batch.share, batch.other_y, batch.weight)


def test_tokens_to_predict_are_blended_by_mixup_and_moved_by_cutmix() -> None:
    x = tokens(256, 20)
    batch = augmented(x, -x, form=a_form(x, "tokens"), mixup_alpha=1.0, cutmix_alpha=1.0)
    assert batch.share is not None
    assert batch.other is not None
    assert batch.other_y is not None
    assert batch.weight is not None

    assert torch.equal(batch.x, -batch.y)
    assert torch.equal(batch.other, -batch.other_y)
    assert torch.equal(batch.share, batch.weight)
    assert 0.3 < float((batch.share == 1).float().mean()) < 0.7


def test_partners_are_mixed_in_as_they_are_augmented() -> None:
    x = images(64)
    mixed = augmented(
        x, flip=0.5, rand_augment_n=2, erase=0.5, mixup_alpha=1.0, normalise=lambda x: 2 * x - 1
    )
    assert mixed.other is not None

    assert torch.equal(mixed.x[mixed.other_y], mixed.other)
    assert -1 <= mixed.x.min() < 0
