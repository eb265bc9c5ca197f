"""Layers of maps: places as channels, squeeze-and-excitation, pyramids of dilations."""

import pytest
import torch
from torch import nn

from hypersweep_trainer.model.spatial import Place, Pyramid, SqueezeExcitation
from hypersweep_trainer.options import Options
from tests.trainer.reach import extent, seen, size


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_a_pyramid_has_the_branches_and_the_reach_of_torchvisions() -> None:
    from torchvision.models.segmentation.deeplabv3 import ASPP

    rates = (1, 2, 4)
    ours = Pyramid(Options(norm="none"), 3, rates, 2)
    theirs = ASPP(3, list(rates), 3).eval()
    with torch.no_grad():  # the mean of the map sees everything
        ours.whole.linear.weight.zero_()
        theirs.convs[-1][1].weight.zero_()
    rows = torch.randn(16, 3, 25, 25)
    mine, other = (seen(pyramid, rows.clone(), (12, 12)) for pyramid in (ours, theirs))

    assert len(theirs.convs) == len(ours.branches) + 1 == len(rates) + 2
    assert 2 * max(rates) + 1 == extent(mine) == extent(other)
    assert torch.equal(other, mine)
    assert ours(rows).shape == theirs(rows).shape == rows.shape


def test_a_pyramid_of_a_sequence_has_the_same_reach() -> None:
    pyramid = Pyramid(Options(norm="none"), 3, (2, 5), 1)
    nn.init.zeros_(pyramid.whole.linear.weight)

    assert extent(seen(pyramid, torch.randn(16, 3, 25), (12,))) == 11
    nn.init.ones_(pyramid.whole.linear.weight)
    assert extent(seen(pyramid, torch.randn(16, 3, 25), (12,))) == 25


def test_squeeze_and_excitation_computes_what_torchvisions_does() -> None:
    from torchvision.ops import SqueezeExcitation as Theirs

    ours, theirs = SqueezeExcitation(16, 4), Theirs(16, 4)
    theirs.load_state_dict({
        "fc1.weight": ours.squeeze.weight[..., None, None], "fc1.bias": ours.squeeze.bias,
        "fc2.weight": ours.excite.weight[..., None, None], "fc2.bias": ours.excite.bias,
    })  # fmt: skip
    rows = torch.randn(3, 16, 5, 6)

    torch.testing.assert_close(theirs(rows), ours(rows))
    torch.testing.assert_close(ours(rows).flatten(2), ours(rows.flatten(2)))
    assert 2 * 16**2 // 4 + 16 // 4 + 16 == size(ours)


def test_squeeze_and_excitation_scales_whole_channels_by_less_than_1() -> None:
    layer, rows = SqueezeExcitation(8, 16), torch.randn(3, 8, 5, 6)
    share = layer(rows) / rows

    assert share.min() > 0
    assert share.max() < 1
    torch.testing.assert_close(share[..., :1, :1].expand_as(share), share)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(rows / 2, layer(rows))


def test_places_are_channels_whose_corners_are_1() -> None:
    rows = torch.randn(2, 3, 5, 4)
    found = Place(radius=True)(rows)

    assert torch.equal(rows, found[:, :3])
    assert (2, 6, 5, 4) == found.shape
    assert [[-1, -1], [-1, 1], [1, -1], [1, 1]] == [
        found[1, 3:5, y, x].tolist() for y in (0, -1) for x in (0, -1)
    ]
    assert [-1, -0.5, 0, 0.5, 1] == found[0, 3, :, 0].tolist()
    torch.testing.assert_close(found[:, 3:5].square().sum(1).sqrt(), found[:, 5])
    assert [-1, 0, 1] == Place(radius=False)(torch.zeros(1, 1, 3))[0, 1].tolist()
    assert [1, 0, 1] == Place(radius=True)(torch.zeros(1, 1, 3))[0, 2].tolist()
    assert [0] == Place(radius=False)(torch.zeros(1, 1, 1))[0, 1].tolist()
