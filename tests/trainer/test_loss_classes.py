"""Losses of classes agree with published numbers and with the libraries, softened and weighed."""

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from hypersweep_trainer.batch import Batch
from hypersweep_trainer.loss.classes import balance
from tests.trainer.losses import CLASSES, a_batch, a_loss, soft


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [
        ("cross_entropy", 10, 2.302585),
        ("cross_entropy", 2, math.log(2)),
        ("bce", 10, 0.693147),
        ("hinge", 10, 0.9),
        ("hinge", 2, 1.0),
        ("focal", 10, 1.865094),
    ],
)
def test_equal_scores_cost_what_is_published(name: str, classes: int, expected: float) -> None:
    found = a_loss(loss=name, classes=classes).mean(torch.zeros(4, classes), torch.arange(4) % classes)

    assert expected == pytest.approx(float(found), abs=1e-6)


def test_large_scores_have_finite_losses_and_gradients() -> None:
    for name in ("cross_entropy", "bce", "hinge", "focal"):
        for size in (100.0, -100.0):
            output = (size * torch.eye(CLASSES)).requires_grad_()
            found = a_loss(loss=name).mean(output, torch.arange(CLASSES))
            found.backward()

            assert found.isfinite()
            assert output.grad is not None
            assert output.grad.isfinite().all()


def test_hinge_counts_margins_below_one() -> None:
    chosen = a_loss(loss="hinge", classes=3)
    output = torch.tensor([[2.0, 1.0, 0.0], [1.0, 1.5, -3.0]])

    assert pytest.approx([0.0, (1.5 + 0) / 3]) == chosen.each(output, torch.tensor([0, 0])).tolist()


def test_hinge_of_more_than_two_classes_is_torchs() -> None:
    output, y, _ = a_batch("classification")

    torch.testing.assert_close(torch.nn.MultiMarginLoss()(output, y), a_loss(loss="hinge").mean(output, y))


def test_hinge_of_two_classes_is_the_binary_hinge_of_their_margin() -> None:
    from sklearn.metrics import hinge_loss

    output, y, _ = a_batch("classification")
    score, y = output[:, 1] - output[:, 0], y % 2
    chosen = a_loss(loss="hinge", classes=2)

    torch.testing.assert_close((1 - (2 * y - 1) * score).relu(), chosen.each(output[:, :2], y))
    assert pytest.approx(hinge_loss(y, score)) == float(chosen.mean(output[:, :2], y))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("threshold", [0.0, 0.2])
def test_binary_cross_entropy_agrees_with_timm(smoothing: float, threshold: float) -> None:
    from timm.loss import BinaryCrossEntropy

    output, y, other = a_batch("classification")
    chosen = a_loss(loss="bce", label_smoothing=smoothing, bce_threshold=threshold)
    reference = BinaryCrossEntropy(smoothing, target_threshold=threshold or None)
    weight = torch.linspace(0, 1, 12)
    blend = soft(y, weight, smoothing) + soft(other, 1 - weight, smoothing)

    torch.testing.assert_close(reference(output, y), chosen.mean(output, y))
    torch.testing.assert_close(
        reference(output, blend), chosen.total(output, Batch(output, y, other_y=other, weight=weight)) / 12
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("target", "gamma"), [("classification", 0.0), ("classification", 2.0), ("tokens", 2.0)]
)
def test_blends_have_the_loss_of_soft_targets_smoothed_once(
    target: str, gamma: float, smoothing: float
) -> None:
    output, y, other = a_batch(target)
    weight = torch.linspace(0, 1, 12)
    parts = weight.view(12, *(1,) * (y.ndim - 1))
    targets = soft(y.flatten(), parts.expand_as(y).flatten(), smoothing)
    targets += soft(other.flatten(), 1 - parts.expand_as(y).flatten(), smoothing)
    logs = output.flatten(0, -2).log_softmax(1)
    rows = -(targets * (1 - logs.exp()) ** gamma * logs).sum(1).view_as(y).view(12, -1).mean(1)
    chosen = a_loss(target, loss="focal", focal_gamma=gamma, label_smoothing=smoothing)

    torch.testing.assert_close(torch.ones(targets.shape[0]), targets.sum(1))
    torch.testing.assert_close(
        rows.sum(), chosen.total(output, Batch(output, y, other_y=other, weight=weight))
    )


def test_cross_entropy_of_blends_agrees_with_torch() -> None:
    output, y, other = a_batch("classification")
    weight = torch.linspace(0, 1, 12)
    expected = functional.cross_entropy(
        output, soft(y, weight, 0) + soft(other, 1 - weight, 0), label_smoothing=0.1, reduction="sum"
    )
    found = a_loss(label_smoothing=0.1).total(output, Batch(output, y, other_y=other, weight=weight))

    torch.testing.assert_close(expected, found)


def test_smoothing_has_its_published_floor() -> None:
    sure = torch.log(torch.tensor([[0.91, *[0.01] * 9]]))
    chosen = a_loss(label_smoothing=0.1)

    assert pytest.approx(0.500288, abs=1e-6) == float(chosen.mean(sure, torch.tensor([0])))
    assert pytest.approx(math.log(10)) == float(chosen.mean(torch.zeros(1, 10), torch.tensor([0])))


def test_tokens_are_averaged() -> None:
    output, y, _ = a_batch("tokens")
    expected = functional.cross_entropy(output.reshape(-1, CLASSES), y.reshape(-1))

    assert torch.equal(expected, a_loss("tokens").mean(output, y))


def test_balanced_weights_agree_with_scikit_learn_and_average_to_one() -> None:
    y = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y.numpy())
    frequencies = [0.6, 0.3, 0.1]

    assert pytest.approx(expected.tolist()) == balance(frequencies)
    assert pytest.approx(1.0) == sum(
        share * weight for share, weight in zip(frequencies, balance(frequencies), strict=True)
    )
    assert [2 / 3, 0.0, 2.0] == pytest.approx(balance([0.75, 0.0, 0.25]))


@pytest.mark.parametrize("name", ["cross_entropy", "bce", "hinge", "focal"])
def test_weights_multiply_the_loss_of_each_row(name: str) -> None:
    output, y, other = a_batch("classification")
    frequencies = (torch.bincount(torch.cat([y, other]), minlength=CLASSES) / 24).tolist()
    weights = torch.tensor(balance(frequencies))
    plain = a_loss(loss=name)
    chosen = a_loss(loss=name, class_weights="balanced", frequencies=frequencies)
    half = Batch(output, y, other_y=other, weight=torch.full((12,), 0.5))

    torch.testing.assert_close((plain.each(output, y) * weights[y]).mean(), chosen.mean(output, y))
    torch.testing.assert_close(
        (chosen.each(output, y) + chosen.each(output, other)).sum() / 2, chosen.total(output, half)
    )


def test_weights_of_thresholded_blends_are_blended() -> None:
    output, y, other = a_batch("classification")
    frequencies = [0.05, 0.15] * 5
    options = {"loss": "bce", "bce_threshold": 0.4}
    half = Batch(output, y, other_y=other, weight=torch.full((12,), 0.5))
    weights = torch.tensor(balance(frequencies))
    rows = a_loss(**options).blended(output, y, other, torch.full((12,), 0.5))
    chosen = a_loss(**options, class_weights="balanced", frequencies=frequencies)

    torch.testing.assert_close((rows * (weights[y] + weights[other]) / 2).sum(), chosen.total(output, half))
