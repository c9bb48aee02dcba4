"""Networks that declare ``size_padding = "zeros"``: what they see beyond the image, in every mode."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from known_networks import Identity, Pyramid
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.nafnet import NAFNet
from deblurkit.contracts import SizeRule, generator_traits
from deblurkit.data.images import to_tensor
from deblurkit.inference.forward import pad_to_size
from deblurkit.inference.receptive_field import reach
from deblurkit.inference.restore import restore
from deblurkit.inference.session import Session


def photograph(height: int, width: int) -> np.ndarray:
    return np.ascontiguousarray(skimage.data.astronaut()[40 : 40 + height, 160 : 160 + width])


class Watched(Identity):
    """Returns its input, and remembers it."""

    size_padding = "zeros"

    def __init__(self, value_range: tuple[float, float] = (0.0, 1.0)) -> None:
        super().__init__(size_divisor=16, min_size=32, value_range=value_range)
        self.seen: list[Tensor] = []

    def forward(self, blurred: Tensor) -> Tensor:
        self.seen.append(blurred)
        return super().forward(blurred)


class ZeroPyramid(Pyramid):
    """The local network of known reach, which is padded with zeros."""

    size_padding = "zeros"


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (-1.0, 3.0)])
def test_the_network_sees_its_own_zeros_beyond_the_image(value_range: tuple[float, float]) -> None:
    image = to_tensor(photograph(33, 47)).unsqueeze(0)
    network = Watched(value_range)
    assert torch.allclose(restore(network, image), image, atol=1e-6)
    (seen,) = network.seen
    low, high = value_range
    assert torch.allclose(seen, functional.pad(image * (high - low) + low, (0, 1, 0, 15)), atol=1e-6)


def test_sides_too_short_to_mirror_are_filled_too_and_full_ones_left() -> None:
    padded = pad_to_size(torch.ones(1, 3, 2, 16), SizeRule(8, fill=0.25))
    assert padded.shape == (1, 3, 8, 16)
    assert torch.equal(padded[..., 2:, :], torch.full((1, 3, 6, 16), 0.25))
    whole = torch.ones(1, 3, 8, 16)
    assert pad_to_size(whole, SizeRule(8, fill=0.25)) is whole


def test_tiles_at_the_far_edges_see_zeros() -> None:
    image = to_tensor(photograph(75, 91)).unsqueeze(0)
    network = Watched()
    assert torch.allclose(restore(network, image, inference="tile:32,16"), image, atol=1e-6)
    padded = functional.pad(image, (0, 5, 0, 5))
    assert network.seen[0].shape == (1, 3, 32, 32)
    assert torch.equal(network.seen[-1], padded[..., 48:, 64:])


@pytest.mark.parametrize("x8", ["", "+x8"])
def test_tiles_are_the_whole_image(x8: str) -> None:
    network = ZeroPyramid()
    overlap = 4 * (reach(network) or 0)
    overlap += -overlap % 8
    photo = photograph(2 * overlap + 21, 3 * overlap + 13)
    image = to_tensor(photo).unsqueeze(0)
    whole = restore(network, image, inference=f"whole{x8}")
    tiled = restore(network, image, inference=f"tile:{2 * overlap},{overlap}{x8}")
    assert (whole - tiled).abs().max() <= 2e-6
    assert (whole - restore(Pyramid(), image, inference=f"whole{x8}")).abs().max() > 1e-4, "mirrored is another result"
    assert torch.allclose(Session(network, inference=f"whole{x8}")(image[0]), whole[0], atol=1e-6)


def test_views_are_padded_once_they_are_turned() -> None:
    image = to_tensor(photograph(33, 47)).unsqueeze(0)
    network = Watched()
    restore(network, image, inference="x8")
    assert len(network.seen) == 8
    corners = [(view[..., -1, :].abs().max(), view[..., :, -1].abs().max()) for view in network.seen]
    assert corners == [(0.0, 0.0)] * 8


@pytest.mark.parametrize("mode", ["whole", "grid:24", "tlc:16", "tlc:16+tile:32,8+x8"])
def test_nafnet_in_every_mode(mode: str) -> None:
    torch.manual_seed(0)
    sizes = {"width": 4, "encoder_blocks": (1, 1, 1), "decoder_blocks": (1, 1, 1)}
    ours, mirrored = NAFNet(**sizes, padding="zeros").eval(), NAFNet(**sizes).eval()
    mirrored.load_state_dict(ours.state_dict())
    for network in (ours, mirrored):
        nn.init.constant_(network.ending.bias, 0.01)
    image = to_tensor(photograph(43, 61)).unsqueeze(0)
    zeros, reflected = (restore(network, image, inference=mode) for network in (ours, mirrored))
    assert zeros.shape == image.shape
    assert torch.isfinite(zeros).all()
    # a crop of 24 needs no padding; only there are both the same
    assert torch.equal(zeros, reflected) == (mode == "grid:24")


def test_what_is_declared_is_checked() -> None:
    network = Identity(4)
    assert generator_traits(network).size_rule.fill is None
    network.size_padding = "mirror"
    with pytest.raises(ValueError, match="Identity: size_padding is 'reflect' or 'zeros', it is 'mirror'"):
        generator_traits(network)
