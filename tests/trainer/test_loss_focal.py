"""The focal loss: cross-entropy without its focus, torchvision's with two classes, alpha of its own."""

import pytest
import torch
from torch.nn import functional

from hypersweep_trainer.batch import Batch
from hypersweep_trainer.loss.classes import focal
from tests.trainer.losses import CLASSES, a_batch, a_loss, soft


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
def test_the_focal_loss_of_a_sure_row_has_no_gradient(gamma: float) -> None:
    output = torch.tensor([[200.0, 0.0]], requires_grad=True)
    a_loss(loss="focal", focal_gamma=gamma, classes=2).mean(output, torch.tensor([0])).backward()

    assert output.grad is not None
    assert torch.equal(torch.zeros(1, 2), output.grad)


def test_the_focal_loss_without_focus_is_cross_entropy() -> None:
    output, y, _ = a_batch("classification")
    expected = functional.cross_entropy(output, y)

    assert torch.equal(expected, a_loss(loss="focal", focal_gamma=0.0).mean(output, y))
    torch.testing.assert_close(expected, focal(output, y, 0.0), rtol=1e-6, atol=0)


def test_the_focal_loss_of_two_classes_agrees_with_torchvision() -> None:
    from torchvision.ops import sigmoid_focal_loss

    output, y, _ = a_batch("classification")
    margin, sign = output[:, 1] - output[:, 0], y % 2
    expected = sigmoid_focal_loss(margin, sign.float(), alpha=-1, gamma=1.5)

    torch.testing.assert_close(expected, focal(output[:, :2], sign, 1.5, reduction="none"))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("alpha", [0.25, 0.9])
def test_the_alpha_of_the_focal_loss_agrees_with_torchvision(alpha: float, gamma: float) -> None:
    from torchvision.ops import sigmoid_focal_loss

    output, y, _ = a_batch("classification")
    margin, sign = output[:, 1] - output[:, 0], y % 2
    chosen = a_loss(loss="focal", focal_gamma=gamma, focal_alpha=alpha, classes=2)
    expected = sigmoid_focal_loss(margin, sign.float(), alpha=alpha, gamma=gamma)

    torch.testing.assert_close(expected, chosen.each(output[:, :2], sign))
    torch.testing.assert_close(expected.mean(), chosen.mean(output[:, :2], sign))


def test_the_alpha_of_the_focal_loss_is_that_of_all_classes_but_the_first() -> None:
    output, y, other = a_batch("classification")
    y[:3] = 0
    plain, chosen = a_loss(loss="focal"), a_loss(loss="focal", focal_alpha=0.25)
    weights = torch.tensor([0.75, *[0.25] * (CLASSES - 1)])
    blend = Batch(output, y, other_y=other, weight=torch.full((12,), 0.5))
    expected = plain.each(output, y) * weights[y], plain.each(output, other) * weights[other]

    torch.testing.assert_close(expected[0], chosen.each(output, y))
    torch.testing.assert_close(sum(expected).sum() / 2, chosen.total(output, blend))
    torch.testing.assert_close(plain.plain(output, y), chosen.plain(output, y))


def test_smoothing_spreads_the_focal_loss_over_weighed_classes() -> None:
    output, y, _ = a_batch("classification")
    weights = torch.tensor([0.75, *[0.25] * (CLASSES - 1)])
    chosen = a_loss(loss="focal", focal_alpha=0.25, label_smoothing=0.1)
    logs = output.log_softmax(1)
    rows = -(soft(y, torch.ones(12), 0.1) * weights * (1 - logs.exp()) ** 2 * logs).sum(1)

    torch.testing.assert_close(rows, chosen.each(output, y))
