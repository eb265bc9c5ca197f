"""Transformers over tokens of a sequence or square patches of an image (arXiv 1706.03762, 2010.11929)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import layer
from hypersweep_trainer.model.init import initialise
from hypersweep_trainer.model.network import Network
from hypersweep_trainer.model.position import SPREAD, Grid, Rotation, Turn, added, turned
from hypersweep_trainer.options import Options


def transformer(options: Options, form: Form) -> Network:
    """Predicts each next token, (n, context, outputs), or a row's class or number, (n, outputs)."""
    tokens = form.target == "tokens"
    head = nn.Linear(options.width, form.outputs)
    network = assemble(options, form, head, causal=tokens, pooled=not tokens)
    if options.tie_weights:  # only tokens are predicted by what they were embedded with
        vector = network.embed.get_submodule("vector")
        assert isinstance(vector, nn.Embedding)
        head.weight = vector.weight
    return network


def assemble(options: Options, form: Form, head: nn.Module, *, causal: bool, pooled: bool) -> Network:
    """A transformer under a head that gets (n, width) where `pooled`, else (n, places, width)."""
    grid = places(options, form)
    body = Blocks(options, grid, causal=causal, pooled=pooled)
    network = Network(_embedding(options, form, grid), body, head, form)
    initialise(options, network)
    vector = network.embed.get_submodule("vector")
    if isinstance(vector, nn.Embedding) and options.init != "torch_default":
        nn.init.normal_(
            vector.weight, std=SPREAD * options.init_gain
        )  # small beside what blocks add; fit for logits
    if options.zero_init_residual:
        body.scale_branches(0.0)
    elif options.init == "auto" and options.residual != "off":
        body.scale_branches(
            (2 * options.depth) ** -0.5
        )  # their sum is then as large as what came in: GPT-2, 2.3
    return network


def places(options: Options, form: Form) -> Grid:
    """Tokens of a row along each axis."""
    if form.task == "sequence":
        return form.shape
    return tuple(-(-side // options.patch) for side in form.shape[1:])


def _embedding(options: Options, form: Form, grid: Grid) -> nn.Sequential:
    """Rows -> (n, *grid, width)."""
    width, words = options.width, form.task == "sequence"
    pixels = form.shape[0] * options.patch**2
    return layer.sequence(
        cut=nn.Identity() if words else Patches(options.patch),
        vector=nn.Embedding(form.vocabulary, width) if words else layer.linear(options, pixels, width),
        place=added(options.pos_enc, grid, width, scale=words),
    )


class Patches(nn.Module):
    """Images (n, c, height, width) -> (n, rows, columns, c * side²); zeros fill up what `side` leaves."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self._side = side

    def forward(self, x: Tensor) -> Tensor:
        side, (height, width) = self._side, x.shape[2:]
        if height % side or width % side:
            x = functional.pad(x, (0, -width % side, 0, -height % side))
        n, channels, height, width = x.shape
        x = x.reshape(n, channels, height // side, side, width // side, side)
        return x.permute(0, 2, 4, 1, 3, 5).flatten(3)


class Blocks(nn.Module):
    """Tokens (n, *grid, width) -> (n, places, width), or their mean (n, width) where `pooled`."""

    def __init__(self, options: Options, grid: Grid, *, causal: bool, pooled: bool) -> None:
        super().__init__()
        unit = 2 * len(grid) if options.pos_enc == "rope" else 1  # a rotation turns pairs, for each axis
        size = max(round(options.width / options.heads / unit), 1) * unit
        self._pooled = pooled
        self.turn = Rotation(grid, size) if options.pos_enc == "rope" else None
        self.drop = layer.dropout(options)
        rates = (options.stochastic_depth * (number + 1) / options.depth for number in range(options.depth))
        self.blocks = nn.ModuleList(Block(options, size, rate, causal) for rate in rates)
        pre = options.norm_position == "pre"
        self.norm = layer.norm(options, options.width, "token") if pre else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        turn = None if self.turn is None else self.turn(tuple(x.shape[1:-1]))
        x = self.drop(x.flatten(1, -2))
        for block in self.blocks:
            x = block(x, turn)
        x = self.norm(x)
        return x.mean(1) if self._pooled else x

    @torch.no_grad()
    def scale_branches(self, factor: float) -> None:
        """Multiply what each half of each block adds."""
        for name, parameter in self.blocks.named_parameters():
            if ".last." in name:
                parameter.mul_(factor)


class Block(nn.Module):
    """Attention, then a layer on each token, both added to what came in where the network is residual.

    Norms stand before each half, or after its sum (arXiv 2002.04745).
    """

    def __init__(self, options: Options, size: int, rate: float, causal: bool) -> None:
        super().__init__()
        self._pre = options.norm_position == "pre"
        self._residual = options.residual != "off"
        inner = max(round(options.mlp_ratio * options.width), 1)
        self.norm1 = layer.norm(options, options.width, "token")
        self.attention = Attention(options, size, causal)
        self.norm2 = layer.norm(options, options.width, "token")
        self.mlp = layer.sequence(
            first=layer.linear(options, options.width, layer.doubled(options, inner)),
            activation=layer.activation(options.activation),
            last=layer.linear(options, inner, options.width),
        )
        self.drop = layer.sequence(
            drop=layer.dropout(options), skip=layer.StochasticDepth(rate) if rate else nn.Identity()
        )

    def forward(self, x: Tensor, turn: Turn | None) -> Tensor:
        if self._pre:
            x = self._joined(x, self.attention(self.norm1(x), turn))
            return self._joined(x, self.mlp(self.norm2(x)))
        x = self.norm1(self._joined(x, self.attention(x, turn)))
        x = self.norm2(self._joined(x, self.mlp(x)))
        return x

    def _joined(self, x: Tensor, branch: Tensor) -> Tensor:
        branch = self.drop(branch)
        return x + branch if self._residual else branch


class Attention(nn.Module):
    """Each token gathers from all others, or from those before it: (n, places, width) -> the same.

    Keys have no bias: what it would add to all scores of a query the softmax takes away, so that its gradient
    would be nothing but rounding, of which Adam makes steps.
    """

    def __init__(self, options: Options, size: int, causal: bool) -> None:
        super().__init__()
        self._heads, self._size, self._causal = options.heads, size, causal
        self._rate = options.dropout
        inner = options.heads * size
        self.first = layer.linear(options, options.width, 3 * inner, bias=False)
        self.bias = nn.Parameter(torch.zeros(2 * inner))  # of queries and of values
        self.last = layer.linear(options, inner, options.width)

    def forward(self, x: Tensor, turn: Turn | None) -> Tensor:
        query, key, value = self.first(x).chunk(3, 2)
        of_query, of_value = self.bias.to(query.dtype).chunk(2)
        query, key, value = (
            part.unflatten(2, (self._heads, self._size)).transpose(1, 2)
            for part in (query + of_query, key, value + of_value)
        )
        if turn is not None:
            query, key = turned(query, turn), turned(key, turn)
        rate = self._rate if self.training else 0.0
        gathered = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=rate, is_causal=self._causal
        )
        output: Tensor = self.last(gathered.transpose(1, 2).flatten(2))
        return output
