"""What the network learns from in one step, on one rank."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Rows and their targets; where rows are blended, also what they are blended with."""

    x: Tensor  # (n, *shape)
    y: Tensor  # (n,) classes or scaled numbers, (n, context) tokens, (n, *shape) of a reconstruction
    other: Tensor | None = None  # (n, *shape): rows to blend in after the network's embedding
    share: Tensor | None = None  # (n,): how much of x, and not of `other`, is in the blend
    other_y: Tensor | None = None  # the targets of what came in, in the form of y
    weight: Tensor | None = None  # (n,): how much the target is y, and not `other_y`
