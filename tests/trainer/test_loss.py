"""Losses agree with published numbers and with the libraries, and so do their gradients."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics.functional.regression as regression
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError
from torch.nn import functional

from hypersweep_trainer import loss
from hypersweep_trainer.batch import Batch
from hypersweep_trainer.form import Form
from hypersweep_trainer.loss.classes import balance, bce, focal
from hypersweep_trainer.loss.numbers import log_cosh, mape, msle, quantile
from hypersweep_trainer.options import Options

CLASSES, CONTEXT = 10, 7


def a_form(target: str = "classification", outputs: int = CLASSES) -> Form:
    shapes = {"tokens": (CONTEXT,), "reconstruction": (2, 4, 4)}
    task = {"tokens": "sequence", "regression": "tabular"}.get(target, "image")
    return Form(task, target, shapes.get(target, (5,)), 1 if target == "regression" else outputs)


def a_loss(
    target: str = "classification",
    *,
    classes: int = CLASSES,
    frequencies: list[float] | None = None,
    **options: Any,
) -> loss.Loss:
    usual = "cross_entropy" if target in ("classification", "tokens") else "mse"
    return loss.build(Options(**{"loss": usual, **options}), a_form(target, classes), frequencies or [])


def a_batch(target: str, rows: int = 12, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, targets, and other targets of the same rows."""
    rng = torch.Generator().manual_seed(seed)
    if target in ("classification", "tokens"):
        shape = (rows,) if target == "classification" else (rows, CONTEXT)
        output = 3 * torch.randn(*shape, CLASSES, generator=rng)
        y, other = (torch.randint(0, CLASSES, shape, generator=rng) for _ in range(2))
        return output, y, other
    shape = (rows,) if target == "regression" else (rows, *a_form(target).shape)
    output, y, other = (torch.randn(shape, generator=rng) for _ in range(3))
    return (output.unsqueeze(1) if target == "regression" else output), y, other


def numbers(name: str, output: list[float], y: list[float], **options: Any) -> float:
    found = a_loss("regression", loss=name, **options).mean(torch.tensor(output)[:, None], torch.tensor(y))
    return float(found)


KINDS = [
    *(("classification", name) for name in ("cross_entropy", "bce", "hinge", "focal")),
    *(("tokens", name) for name in ("cross_entropy", "focal")),
    *(("regression", name) for name in ("mse", "mae", "huber", "log_cosh", "quantile", "mape", "msle")),
    *(("reconstruction", name) for name in ("mse", "mae", "huber")),
]


@pytest.mark.parametrize(("target", "name"), KINDS)
def test_rows_mean_and_sum_agree(target: str, name: str) -> None:
    output, y, _ = a_batch(target)
    y = y.abs() if name == "msle" else y
    chosen = a_loss(target, loss=name)
    rows = chosen.each(output, y)

    assert (12,) == rows.shape
    torch.testing.assert_close(rows.mean(), chosen.mean(output, y))
    torch.testing.assert_close(rows.sum(), chosen.total(output, Batch(output, y)))
    torch.testing.assert_close(rows[3:4], chosen.each(output[3:4], y[3:4]))
    assert 0.0 == float(chosen.total(output[:0], Batch(output[:0], y[:0])))


@pytest.mark.parametrize(("target", "name"), KINDS)
def test_a_loss_stays_float32_under_autocast(target: str, name: str) -> None:
    output, y, _ = a_batch(target)
    y = y.abs() if name == "msle" else y
    rounded = output.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = a_loss(target, loss=name).total(rounded, Batch(output, y))

    assert torch.float32 == found.dtype
    torch.testing.assert_close(a_loss(target, loss=name).total(rounded.float(), Batch(output, y)), found)


@pytest.mark.parametrize(("target", "name"), KINDS)
def test_a_blend_with_nothing_is_the_row_itself(target: str, name: str) -> None:
    output, y, other = (value.abs() for value in a_batch(target))
    chosen = a_loss(target, loss=name)
    for weight, same in ((torch.ones(12), y), (torch.zeros(12), other)):
        batch = Batch(output, y, other_y=other, weight=weight)

        torch.testing.assert_close(chosen.each(output, same).sum(), chosen.total(output, batch))


# Classes


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


def soft(y: Tensor, weight: Tensor, smoothing: float) -> Tensor:
    """What timm's MixUp makes of classes."""
    return weight[:, None] * ((1 - smoothing) * functional.one_hot(y, CLASSES).float() + smoothing / CLASSES)


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


def test_evaluation_reports_the_loss_without_smoothing_threshold_or_weights() -> None:
    output, y, _ = a_batch("classification")
    changed = {
        "label_smoothing": 0.1, "bce_threshold": 0.2, "class_weights": "balanced", "focal_alpha": 0.9,
    }  # fmt: skip
    for name in ("cross_entropy", "bce", "hinge", "focal"):
        chosen = a_loss(loss=name, frequencies=[0.1] * 10, **changed)

        assert torch.equal(a_loss(loss=name).each(output, y), chosen.plain(output, y))
        assert (name == "cross_entropy") == chosen.likelihood


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


# Numbers


@pytest.mark.parametrize(("name", "best"), [("mse", 22.0), ("mae", 3.0), ("quantile", 3.0)])
def test_the_best_constant_is_the_mean_or_the_median(name: str, best: float) -> None:
    y = torch.tensor([1.0, 2.0, 3.0, 4.0, 100.0])
    constants = torch.arange(0, 100, 0.1)
    chosen = a_loss("regression", loss=name)
    found = torch.stack([chosen.mean(constant.expand(5, 1), y) for constant in constants])

    assert best == pytest.approx(float(constants[found.argmin()]), abs=0.01)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_quantile_loss_asks_for_its_quantile(q: float) -> None:
    y = torch.randn(2001, generator=torch.Generator().manual_seed(1))
    constants = torch.arange(-2, 2, 0.01)[:, None]
    found = quantile(constants, y[None], q).mean(1).argmin()

    assert float(y.quantile(q)) == pytest.approx(float(constants[found]), abs=0.02)


def test_huber_has_its_published_values() -> None:
    output, y, _ = a_batch("regression")
    for delta in (0.5, 1.0, 2.0):
        expected = delta * functional.smooth_l1_loss(output.squeeze(1), y, beta=delta)

        torch.testing.assert_close(
            expected, a_loss("regression", loss="huber", huber_delta=delta).mean(output, y)
        )
    assert 2.5 == numbers("huber", [3.0], [0.0])


def test_the_gradient_of_huber_is_bounded() -> None:
    output = torch.linspace(-50, 50, 101)[:, None].requires_grad_()
    a_loss("regression", loss="huber", huber_delta=0.7).each(output, torch.zeros(101)).sum().backward()

    assert output.grad is not None
    assert pytest.approx(0.7) == float(output.grad.abs().max())


def test_mape_and_msle_and_log_cosh_have_their_published_values() -> None:
    assert pytest.approx(0.2667, abs=1e-4) == numbers("mape", [0.9, 15, 1.2e6], [1, 10, 1e6])
    assert math.isfinite(numbers("mape", [0.1], [0.0]))
    assert pytest.approx(1.0) == numbers("msle", [-100.0], [math.e - 1])
    assert pytest.approx(math.log(math.cosh(1.5)), abs=1e-6) == numbers("log_cosh", [1.5], [0.0])
    assert pytest.approx(1000 - math.log(2)) == numbers("log_cosh", [-1000.0], [0.0])


def test_numbers_agree_with_torchmetrics() -> None:
    output, y, _ = a_batch("regression", 200)
    positive = y.abs() * 100
    softened = functional.softplus(output.squeeze(1))

    torch.testing.assert_close(
        regression.mean_absolute_percentage_error(output.squeeze(1), y),
        a_loss("regression", loss="mape").mean(output, y),
    )
    torch.testing.assert_close(
        regression.mean_squared_log_error(softened, positive),
        a_loss("regression", loss="msle").mean(output, positive),
    )
    torch.testing.assert_close(
        regression.log_cosh_error(output.squeeze(1), y), a_loss("regression", loss="log_cosh").mean(output, y)
    )


def test_msle_is_about_ratios() -> None:
    y = torch.tensor([20.0, 50.0, 200.0])
    prediction = torch.tensor([15.0, 80.0, 110.0])
    small, large = (float(msle(factor * prediction, factor * y).mean()) for factor in (1, 10))

    assert small == pytest.approx(large, rel=0.05)


def test_the_output_of_msle_stands_for_its_softplus() -> None:
    output = torch.tensor([[-3.0], [2.0]])

    torch.testing.assert_close(
        functional.softplus(output[:, 0]), a_loss("regression", loss="msle").value(output)
    )
    assert torch.equal(output[:, 0], a_loss("regression").value(output))


@pytest.mark.parametrize("target", ["regression", "reconstruction"])
def test_numbers_of_a_blend_are_blended(target: str) -> None:
    output, y, other = a_batch(target)
    weight = torch.linspace(0, 1, 12)
    parts = weight.view(12, *(1,) * (y.ndim - 1))
    chosen = a_loss(target)
    expected = chosen.each(output, parts * y + (1 - parts) * other).sum()

    torch.testing.assert_close(expected, chosen.total(output, Batch(output, y, other_y=other, weight=weight)))


# Gradients


def doubles(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


TRUE = torch.tensor([0, 2, 1, 2])
HAND_WRITTEN: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "focal": (lambda output: focal(output, TRUE, 1.7), doubles(4, 3)),
    "focal, smoothed": (lambda output: focal(output, TRUE, 0.5, 0.1), doubles(4, 3)),
    "bce": (lambda output: bce(output, TRUE, 0.1), doubles(4, 3)),
    "log_cosh": (lambda output: log_cosh(output, doubles(6, seed=4)), 3 * doubles(6)),
    "quantile": (lambda output: quantile(output, doubles(6, seed=4), 0.3), doubles(6)),
    "mape": (lambda output: mape(output, doubles(6, seed=4)), doubles(6)),
    "msle": (lambda output: msle(output, doubles(6, seed=4).exp()), doubles(6)),
    "blend": (
        lambda output: a_loss(loss="focal", classes=3).blended(
            output, TRUE, TRUE.flip(0), torch.linspace(0, 1, 4, dtype=torch.float64)
        ),
        doubles(4, 3),
    ),
}


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    function, at = HAND_WRITTEN[name]

    assert torch.autograd.gradcheck(function, at.clone().requires_grad_(), eps=1e-6, atol=1e-8, rtol=1e-6)


class Planted(torch.autograd.Function):
    """log_cosh with a gradient that is wrong by one in a thousand."""

    @staticmethod
    def forward(context: Any, error: Tensor) -> Tensor:
        context.save_for_backward(error)
        return log_cosh(error, torch.zeros_like(error))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (error,) = context.saved_tensors
        return 1.001 * error.tanh() * gradient


def test_a_planted_wrong_gradient_is_found() -> None:
    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(Planted.apply, doubles(6).requires_grad_(), eps=1e-6, atol=1e-8, rtol=1e-6)
