"""Whatever its kind, a loss has rows, a mean and a sum that agree, in float32, also of blends."""

import pytest
import torch

from hypersweep_trainer.batch import Batch
from tests.trainer.losses import a_batch, a_loss

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


def test_evaluation_reports_the_loss_without_smoothing_threshold_or_weights() -> None:
    output, y, _ = a_batch("classification")
    changed = {
        "label_smoothing": 0.1, "bce_threshold": 0.2, "class_weights": "balanced", "focal_alpha": 0.9,
    }  # fmt: skip
    for name in ("cross_entropy", "bce", "hinge", "focal"):
        chosen = a_loss(loss=name, frequencies=[0.1] * 10, **changed)

        assert torch.equal(a_loss(loss=name).each(output, y), chosen.plain(output, y))
        assert (name == "cross_entropy") == chosen.likelihood
