"""Convolutional networks: sizes, receptive fields, places and channels, at any size of image or sequence."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hypersweep_trainer.form import Form
from hypersweep_trainer.model import Network, build
from hypersweep_trainer.model.spatial import Pyramid
from hypersweep_trainer.options import Options
from tests.trainer.reach import extent, seen, size

TEXT = Form("sequence", "classification", (16,), 2, vocabulary=9)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def image(channels: int, height: int, width: int, outputs: int = 7) -> Form:
    return Form("image", "classification", (channels, height, width), outputs)


def cnn(form: Form, **options: object) -> Network:
    return build(Options(**{"model": "cnn", "width": 4, "depth": 2, "norm": "none", **options}), form)


def maps(network: Network) -> nn.Sequential:
    """The network up to the mean over its last map."""
    return nn.Sequential(*(part for name, part in network.body.named_children() if name != "mean"))


# sizes


@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("depth", [1, 3])
def test_the_size_of_convolutions_has_a_closed_form(kernel: int, depth: int) -> None:
    network = cnn(image(3, 8, 8), kernel=kernel, depth=depth, downsample="none")
    text = cnn(TEXT, kernel=kernel, depth=depth, downsample="none")

    assert (kernel**2 * 3 + 1) * 4 + (depth - 1) * (kernel**2 * 4 + 1) * 4 + 5 * 7 == size(network)
    assert 9 * 4 + depth * (kernel * 4 + 1) * 4 + 5 * 2 == size(text)


def test_each_block_that_halves_the_map_doubles_the_channels() -> None:
    network = cnn(image(1, 8, 8), depth=3)
    found = [
        (part.in_channels, part.out_channels) for part in network.modules() if isinstance(part, nn.Conv2d)
    ]

    assert [(1, 4), (4, 8), (8, 16)] == found
    assert (2, 16, 2, 2) == maps(network)(torch.zeros(2, 1, 8, 8)).shape
    assert 16 == network.head.in_features


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [8, 9, 15])
def test_every_way_to_halve_the_resolution_gives_maps_of_one_size(kernel: int, side: int) -> None:
    def shape(downsample: str, *sides: int) -> torch.Size:
        form = (
            image(1, *sides)
            if len(sides) == 2
            else Form("sequence", "classification", sides, 2, vocabulary=5)
        )
        network = cnn(form, kernel=kernel, depth=2, downsample=downsample)
        rows = torch.zeros(2, 1, *sides) if len(sides) == 2 else torch.zeros(2, 4, *sides)
        return maps(network)(rows).shape

    quarter = -(-side // 4)
    for way in ("maxpool", "avgpool", "stride"):
        assert (2, 8, quarter, 3) == shape(way, side, 12)
        assert (2, 8, quarter) == shape(way, side)
    assert (2, 4, side, 12) == shape("none", side, 12)


def test_the_average_at_an_uneven_edge_is_that_of_what_is_there() -> None:
    network = cnn(image(1, 5, 5), depth=1, downsample="avgpool")

    torch.testing.assert_close(torch.ones(1, 4, 3, 3), network.body.pool0(torch.ones(1, 4, 5, 5)))


@pytest.mark.parametrize("depth", [1, 2, 6])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 3, 5)])
def test_convolutions_fit_images_of_any_size(depth: int, shape: tuple[int, int, int]) -> None:
    network = cnn(image(*shape), depth=depth, norm="layer", residual="off")

    assert (2, 7) == network(torch.zeros(2, *shape)).shape
    assert depth == sum(isinstance(part, nn.Conv2d) for part in network.modules())


@pytest.mark.parametrize("options", [{}, {"aspp_rates": (1, 2), "coordconv": "radius", "se_ratio": 2}])
def test_one_network_takes_images_of_every_size(options: dict[str, object]) -> None:
    network = cnn(image(3, 24, 24), norm="batch", depth=3, **options)

    for side in (12, 17, 24, 56):
        assert (2, 7) == network(torch.randn(2, 3, side, side)).shape


def test_four_times_the_pixels_cost_four_times_the_operations() -> None:
    network = cnn(image(3, 224, 224), depth=3).eval()

    def operations(side: int) -> int:
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, side, side))
        return counter.get_total_flops()

    assert operations(224) / operations(112) == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("form", [image(1, 8, 6), Form("sequence", "classification", (6,), 2, vocabulary=5)])
def test_a_kernel_larger_than_the_rows_is_refused(form: Form) -> None:
    assert cnn(form, kernel=6)
    with pytest.raises(ValueError, match=r"^kernel: must be at most 6, the smaller side, but found 7"):
        cnn(form, kernel=7)


# receptive fields


@pytest.mark.parametrize(
    ("downsample", "field"),
    [("none", 1 + 2 + 2), ("stride", 1 + 2 + 2 * 2), ("maxpool", 1 + 2 + 1 + 2 * 2 + 2), ("avgpool", 10)],
)
def test_the_receptive_field_is_1_and_each_layers_reach_times_the_strides_before_it(
    downsample: str, field: int
) -> None:
    form = image(1, 32, 32)
    found = seen(maps(cnn(form, downsample=downsample)), torch.randn(64, 1, 32, 32), (4, 4))
    line = Form("sequence", "classification", (32,), 2, vocabulary=5)
    row = seen(maps(cnn(line, downsample=downsample)), torch.randn(64, 4, 32), (4,))

    assert (field, field, field) == (extent(found), extent(found.T), extent(row))


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_a_dilated_convolution_answers_an_impulse_at_its_offsets_alone(dilation: int) -> None:
    network = cnn(image(1, 16, 16), depth=1, dilation=dilation, downsample="none", init="torch_default")
    impulse = torch.zeros(1, 1, 16, 16)
    impulse[..., 8, 8] = 1
    answer = network.body[0].conv(impulse) - network.body[0].conv(torch.zeros_like(impulse))
    offsets = (answer.abs().amax((0, 1)) > 1e-6).nonzero() - 8
    reach = (-dilation, 0, dilation)

    assert [[y, x] for y in reach for x in reach] == offsets.tolist()
    assert answer.shape[2:] == impulse.shape[2:]


def test_a_dilated_network_sees_further_at_the_same_resolution() -> None:
    network = cnn(image(1, 32, 32), depth=2, dilation=3, downsample="none")

    assert extent(seen(maps(network), torch.randn(16, 1, 32, 32), (16, 16))) == 13
    assert maps(network)(torch.randn(1, 1, 32, 32)).shape == (1, 4, 32, 32)


# what stands before the head or in each block


@pytest.mark.parametrize("form", [image(1, 8, 8), TEXT])
@pytest.mark.parametrize("norm", ["batch", "layer", "group", "rms"])
def test_a_pyramid_stands_before_the_head(form: Form, norm: str) -> None:
    network = cnn(form, norm=norm, aspp_rates=(1, 2), activation="geglu", dropout=0.1)
    rows = torch.randint(0, 9, (4, 16)) if form is TEXT else torch.randn(4, 1, 8, 8)
    network(rows).sum().backward()

    assert isinstance(network.body.get_submodule("2"), Pyramid)
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("form", [image(1, 8, 8), TEXT])
def test_every_block_may_squeeze(form: Form) -> None:
    extra = size(cnn(form, depth=2, se_ratio=2)) - size(cnn(form, depth=2))

    assert (2 * 4 * 2 + 2 + 4) + (2 * 8 * 4 + 4 + 8) == extra


@pytest.mark.parametrize(("form", "more"), [(image(3, 8, 8), 2), (TEXT, 1)])
@pytest.mark.parametrize("coordconv", ["on", "radius"])
def test_every_convolution_takes_the_places(form: Form, more: int, coordconv: str) -> None:
    def inputs(coordconv: str) -> list[int]:
        network = cnn(form, depth=3, coordconv=coordconv)
        return [part.in_channels for part in network.modules() if isinstance(part, nn.Conv1d | nn.Conv2d)]

    more += coordconv == "radius"
    assert [channels + more for channels in inputs("off")] == inputs(coordconv)


def test_only_with_places_a_network_finds_a_pixel() -> None:
    side = 8
    rows = torch.eye(side**2).view(-1, 1, side, side)
    axis = torch.linspace(-1, 1, side)
    places = torch.cartesian_prod(axis, axis)
    form = Form("image", "regression", (1, side, side), 2)

    def error(coordconv: str) -> float:
        torch.manual_seed(0)
        network = cnn(form, width=16, depth=2, downsample="none", coordconv=coordconv)
        optimizer = torch.optim.Adam(network.parameters())
        for step in range(300):
            for group in optimizer.param_groups:
                group["lr"] = 0.03 * (1 - step / 300)
            loss = (network(rows) - places).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert error("on") < 1e-3
    assert error("off") > 1e-2
