"""Batch norm over all ranks: of one rank it is torch's own."""

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from hypersweep_trainer.model.sync import Synchronised


@pytest.fixture(autouse=True)
def group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def rows(mean: float = 0.0) -> Tensor:
    return (torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + mean).requires_grad_()


def outcome(norm: nn.Module, x: Tensor) -> list[Tensor]:
    y = norm(x)
    y.square().mul(torch.linspace(0, 1, y.numel()).view_as(y)).sum().backward()
    return [y, x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var, norm.eval()(x)]


@pytest.mark.parametrize("mean", [0.0, 100.0])
def test_of_one_rank_it_is_batch_norm_in_both_directions(mean: float) -> None:
    torch.testing.assert_close(
        outcome(nn.BatchNorm2d(3), rows(mean)),
        outcome(Synchronised(nn.BatchNorm2d(3)), rows(mean)),
        atol=1e-3,
        rtol=1e-3,
    )


def test_half_precision_stays_so_and_its_statistics_do_not() -> None:
    norm = Synchronised(nn.BatchNorm2d(3))
    x = rows(100.0).detach().bfloat16()

    assert norm(x).dtype == torch.bfloat16
    assert norm.running_var.dtype == torch.float32
    assert (norm.running_var > 0.9).all()
