"""Networks and loops as one writes them by hand for one problem: what the trainer is compared with."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW


def mlp() -> nn.Module:
    """Digits, with one hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.LayerNorm(128), nn.GELU(), nn.Linear(128, 10))


def conv(width: int) -> nn.Module:
    """Colour images of ten classes, with three convolutions."""
    sizes = ((3, width), (width, 2 * width), (2 * width, 4 * width))
    blocks = [
        part
        for n_in, n_out in sizes
        for part in (nn.Conv2d(n_in, n_out, 3, padding=1), nn.GroupNorm(1, n_out), nn.GELU(), nn.MaxPool2d(2))
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))


class Block(nn.Module):
    """A block of a transformer that norms first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        parts = self.qkv(self.norm1(x)).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(found.transpose(1, 2).reshape(n, length, width))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """Predicts the next of so many tokens."""

    def __init__(self, vocabulary: int, context: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.vector = nn.Embedding(vocabulary, width)
        self.place = nn.Parameter(torch.randn(context, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.vector(x) + self.place)))


def adamw(model: nn.Module, groups: int) -> AdamW:
    """With the weight decay of matrices alone in two groups, or of all in one, which is faster."""
    if groups == 1:
        return AdamW(model.parameters(), lr=1e-3, fused=True)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    spared = [p for p in model.parameters() if p.ndim == 1]
    return AdamW([{"params": decayed}, {"params": spared, "weight_decay": 0.0}], lr=1e-3, fused=True)


def loop(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    size: int,
    epochs: int,
    groups: int = 1,
    share: Callable[[Tensor], Tensor] = lambda rows: rows,
    cast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> float:
    """Seconds of a step, from the end of an epoch's first to the end of its last."""
    optimizer, seconds, steps = adamw(model, groups), 0.0, 0
    for _ in range(epochs):
        batches = torch.randperm(len(y), device=y.device).split(size)
        for number, rows in enumerate(batches):
            rows = share(rows)
            with cast():
                output = model(x[rows])
            loss = functional.cross_entropy(output.float().flatten(0, -2), y[rows].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if number == 0:
                began = now(y.device)
        seconds, steps = seconds + now(y.device) - began, steps + len(batches) - 1
    return seconds / steps


def now(device: torch.device) -> float:
    """The time when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
