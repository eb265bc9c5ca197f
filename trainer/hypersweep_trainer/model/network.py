"""The one shape of all networks: an embedding, a body, a head."""

from typing import Any

from torch import Tensor, nn

from hypersweep_trainer.form import Form


class Network(nn.Module):
    """Rows (n, *form.shape) -> (n, outputs), of tokens (n, context, outputs), rebuilt (n, *form.shape).

    `embed` makes of a row what can be blended with another one's, `body` holds the blocks, `head` ends in a
    bare Linear. Where `form.bounds` are set, a sigmoid holds every output between them.
    """

    def __init__(self, embed: nn.Module, body: nn.Module, head: nn.Module, form: Form) -> None:
        super().__init__()
        self.embed, self.body, self.head = embed, body, head
        self._bounds = form.bounds
        self._shape = form.shape if form.target == "reconstruction" and len(form.shape) > 1 else None
        self._direct = isinstance(embed, nn.Identity)
        self._bare = self._bounds is None and self._shape is None

    def forward(self, x: Tensor, other: Tensor | None = None, share: Tensor | None = None) -> Tensor:
        """Of x, or of a blend: `share` (n,) of what x is embedded as, the rest of `other`."""
        parts: dict[str, Any] = self._modules  # by attribute, each takes another 1 µs of a step of 300
        hidden = x if self._direct else parts["embed"](x)
        if other is not None and share is not None:
            hidden = blend(hidden, other if self._direct else parts["embed"](other), share)
        output: Tensor = parts["head"](parts["body"](hidden))
        return output if self._bare else self._finished(output)

    def _finished(self, output: Tensor) -> Tensor:
        if self._bounds is not None:
            low, high = self._bounds
            output = low + (high - low) * output.sigmoid()
        return output if self._shape is None else output.view(-1, *self._shape)


def blend(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """share * x + (1 - share) * other, row by row: (n, …) of any rank with a share of (n,)."""
    weight = share.to(x.dtype).view(-1, *(1,) * (x.dim() - 1))
    return other + weight * (x - other)
