"""Every inference mode: what does nothing stays nothing, tiles are the whole image, grids are what they should be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import skimage.data
import torch
from known_networks import Identity, MeanShift, Pyramid
from shrunk import SHRUNK
from torch import Tensor, nn

from deblurkit.data.images import to_tensor, to_uint8
from deblurkit.errors import UserError
from deblurkit.inference.receptive_field import global_layers, reach
from deblurkit.inference.restore import check_inference, restore
from deblurkit.inference.session import Session
from deblurkit.registry import ARCHS

MODES = ("whole", "tile:64,16", "tile:48,24", "tile:32,0", "grid:64", "grid:33")
SIZES = ((1, 1), (5, 7), (33, 47), (131, 259))
BOUND = 2e-6
"""By how much tiles differ from the whole image where the network looks no further than a quarter of their overlap."""


PYRAMID_LOOKS = reach(Pyramid())


def photograph(height: int, width: int, dtype: type = np.uint8) -> np.ndarray:
    image = np.tile(skimage.data.astronaut(), (5, 6, 1))[100 : 100 + height, 30 : 30 + width]
    return image.astype(dtype) * (1 if dtype is np.uint8 else 257)


@pytest.mark.parametrize("x8", ["", "+x8"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rules", [(1, 0), (16, 40)])
def test_identity_through_every_mode(size: tuple[int, int], mode: str, x8: str, rules: tuple[int, int]) -> None:
    generator = Identity(*rules, value_range=(-1.0, 1.0))
    image = photograph(*size)
    blurred = to_tensor(image).unsqueeze(0)
    restored = restore(generator, blurred, inference=mode + x8)
    assert restored.shape == blurred.shape
    assert (restored - blurred).abs().max() <= 1e-6
    assert np.array_equal(to_uint8(restored[0]), image)
    session = Session(generator, inference=mode + x8)
    assert torch.equal(session(blurred[0]), restored[0])
    for dtype in (np.uint8, np.uint16):
        given = photograph(*size, dtype)
        assert np.array_equal(session.restore_array(given), given)
    assert session.used.total() == 3


def test_several_images_at_once() -> None:
    images = torch.stack([to_tensor(photograph(70, 90)), to_tensor(photograph(70, 180)[:, 90:])])
    for mode in ("whole", "tile:32,8", "grid:40", "tile:32,8+x8"):
        together = restore(Pyramid(), images, inference=mode)
        alone = [restore(Pyramid(), image.unsqueeze(0), inference=mode) for image in images]
        assert torch.allclose(together, torch.cat(alone), atol=1e-6)


def randomised(generator: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in generator.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return generator.eval()


def built(name: str) -> nn.Module:
    return randomised(ARCHS.get(name)(**SHRUNK.get(name, {})))


def wide_enough(generator: nn.Module, looks: int) -> int:
    return -(-4 * looks // generator.size_divisor) * generator.size_divisor


@pytest.mark.parametrize("name", ARCHS.names())
def test_tiles_are_the_whole_image_or_it_is_said_why_not(name: str) -> None:
    generator = built(name)
    looks = reach(generator)
    overlap = 32 if looks is None else wide_enough(generator, looks)
    size = 2 * overlap
    session = Session(generator, inference=f"tile:{size},{overlap}")
    for shape in ((size + 41, 40), (39, size + 70)):
        blurred = to_tensor(photograph(*shape))
        difference = (session(blurred) - restore(generator, blurred.unsqueeze(0))[0]).abs().max()
        assert looks is None or difference <= BOUND
    assert session.used.total() == 2
    assert all(mode.startswith("tile:") for mode in session.used)
    if looks is None:
        (note,) = session.notes()
        assert note.startswith(f"tiles and crops are not the whole image for {name}: ")
        assert note.endswith(", ".join(global_layers(generator, None)))
    else:
        assert session.notes() == []


@pytest.mark.parametrize("seed", range(12))
def test_tiles_of_random_sizes_are_the_whole_image(seed: int) -> None:
    generator = Pyramid()
    draw = np.random.default_rng(seed)
    overlap = int(draw.integers(wide_enough(generator, PYRAMID_LOOKS), 160))
    size = int(draw.integers(2 * overlap, 400))
    height, width = draw.integers(20, 700, 2)
    blurred = to_tensor(photograph(height, width)).unsqueeze(0)
    x8 = "+x8" if seed % 3 == 0 else ""
    whole = restore(generator, blurred, inference="whole" + x8)
    assert (whole - blurred).abs().max() > 0.05
    assert (restore(generator, blurred, inference=f"tile:{size},{overlap}{x8}") - whole).abs().max() <= BOUND


def test_a_smaller_overlap_differs_near_seams_and_that_is_said() -> None:
    generator = Pyramid()
    blurred = to_tensor(photograph(120, 300))
    session = Session(generator, inference="tile:64,16")
    difference = (session(blurred) - restore(generator, blurred.unsqueeze(0))[0]).abs().amax((0, 1))
    assert BOUND < difference.max() < 0.5
    assert session.notes() == [
        f"tile:64,16: not the whole image near seams, as Pyramid looks {PYRAMID_LOOKS} pixels far; "
        f"tiles that overlap by {4 * PYRAMID_LOOKS} would be"
    ]


class Halves(nn.Module):
    """Restores by the crop's own mean, so that each crop can be told from the others."""

    def forward(self, blurred: Tensor) -> Tensor:
        return blurred.mean((1, 2, 3), keepdim=True).expand_as(blurred)


def test_overlaps_of_a_grid_are_averaged() -> None:
    blurred = to_tensor(photograph(50, 100)).unsqueeze(0)
    expected, times = torch.zeros_like(blurred), torch.zeros_like(blurred)
    for top, left in itertools.product((0, 10), (0, 30, 60)):  # 2 and 3 crops of 40: steps of 10 and 30
        expected[..., top : top + 40, left : left + 40] += blurred[..., top : top + 40, left : left + 40].mean()
        times[..., top : top + 40, left : left + 40] += 1
    assert torch.allclose(restore(Halves(), blurred, inference="grid:40"), expected / times, atol=1e-6)


def test_local_means_under_tiles_and_views() -> None:
    """With windows as large as the tiles, local means are the tiles' own; and they stay local under x8."""
    blurred = to_tensor(photograph(64, 96)).unsqueeze(0)
    plain = restore(MeanShift(), blurred)
    local = restore(MeanShift(), blurred, inference="tlc:16")
    assert not torch.allclose(local, plain, atol=1e-3)
    assert torch.equal(restore(MeanShift(), blurred, inference="tlc:96"), plain)
    turned = restore(MeanShift(), blurred, inference="tlc:16+x8")
    assert not torch.allclose(turned, restore(MeanShift(), blurred, inference="x8"), atol=1e-3)
    tiled = restore(MeanShift(), blurred, inference="tlc:96+tile:32,0")
    assert torch.allclose(tiled, restore(MeanShift(), blurred, inference="tile:32,0"), atol=1e-6)
    assert torch.equal(Session(MeanShift(), inference="tlc:16")(blurred[0]), local[0])


def test_modes_are_checked() -> None:
    assert check_inference("x8+tile:64,16+tlc:256") == "tlc:256+tile:64,16+x8"
    with pytest.raises(UserError, match="'tile' is no inference mode: expected"):
        check_inference("tile")
    with pytest.raises(UserError, match="tlc: Identity has no global average pooling"):
        Session(Identity(), inference="tlc:256")
