"""NAFNet: its published sizes, its block against the paper's formulas, and its norm's precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from counting import count, gmacs
from torch import Tensor, nn

from deblurkit.archs.nafnet import ChannelLayerNorm, NAFBlock, NAFNet

SMALL: dict[str, Any] = {"width": 4, "encoder_blocks": (1, 2), "middle_blocks": 1, "decoder_blocks": (2, 1)}
SIDD: dict[str, Any] = {"encoder_blocks": (2, 2, 4, 8), "middle_blocks": 12, "decoder_blocks": (2, 2, 2, 2)}
SIZES = {
    "width 32": ({}, 17_111_907, 15.956, 224.353),
    "width 64": ({"width": 64}, 67_888_835, 63.055, 886.595),
    "SIDD, width 32": (SIDD, 29_159_715, 16.045, 225.582),
    "SIDD, width 64": ({"width": 64, **SIDD}, 115_982_915, 63.236, 889.057),
}


def alive(module: nn.Module) -> nn.Module:
    """Give every parameter, beta and gamma included, a value that shows."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0.0, 0.3)
    return module.double()


@pytest.mark.parametrize("layout", SIZES)
def test_sizes(layout: str):
    arguments, parameters, at_256, at_720p = SIZES[layout]
    with torch.device("meta"):
        network = NAFNet(**arguments)
    assert count(network) == parameters
    assert gmacs(network, 256, 256) == pytest.approx(at_256, rel=1e-3)
    assert gmacs(network, 720, 1280) == pytest.approx(at_720p, rel=1e-3)


@pytest.mark.parametrize("channels", [32, 64, 128, 256, 512])
def test_size_of_a_block(channels: int):
    with torch.device("meta"):
        block = NAFBlock(channels)
    assert count(block) == 7 * channels**2 + 33 * channels


def normed(features: Tensor, norm: ChannelLayerNorm) -> Tensor:
    centred = features - features.mean(1, keepdim=True)
    scaled = centred / torch.sqrt(centred.square().mean(1, keepdim=True) + 1e-6)
    return scaled * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)


def mixed(features: Tensor, conv: nn.Conv2d) -> Tensor:
    return torch.einsum("oc,nchw->nohw", conv.weight[:, :, 0, 0], features) + conv.bias.view(-1, 1, 1)


def test_block_is_its_formulas():
    block = alive(NAFBlock(6))
    features = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    norm, widen, depthwise, _, attention, project = block.spatial
    windows = nn.functional.pad(mixed(normed(features, norm), widen), (1, 1, 1, 1))
    windows = windows.unfold(2, 3, 1).unfold(3, 3, 1)
    local = (windows * depthwise.weight[:, 0, None, None]).sum((-2, -1)) + depthwise.bias.view(-1, 1, 1)
    gated = local[:, :6] * local[:, 6:]
    attended = gated * mixed(gated.sum((2, 3), keepdim=True) / 35, attention.conv)
    half = features + block.beta * mixed(attended, project)
    norm, widen, _, project = block.pointwise
    wide = mixed(normed(half, norm), widen)
    expected = half + block.gamma * mixed(wide[:, :6] * wide[:, 6:], project)
    torch.testing.assert_close(block(features), expected)
    assert not torch.allclose(expected, features, atol=0.1)


def test_blocks_start_as_the_identity_and_the_network_does_not():
    torch.manual_seed(0)
    block, features = NAFBlock(4), torch.randn(1, 4, 6, 6)
    assert torch.equal(block(features), features)
    blurred = torch.rand(1, 3, 32, 32)
    assert (NAFNet()(blurred) - blurred).abs().mean() > 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_norm_runs_in_float32(dtype: torch.dtype, autocast: bool):
    """Around 300 neighbouring bf16 numbers are 2 apart: mean and variance of a spread of 4 need more."""
    norm = ChannelLayerNorm(8)
    features = (300 + 4 * torch.randint(-1, 2, (2, 8, 3, 5))).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = norm(features)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), normed(features.float(), norm), rtol=1e-2, atol=1e-2)


def test_norm_is_over_channels_of_each_pixel():
    norm, features = ChannelLayerNorm(8), torch.randn(2, 8, 4, 4)
    other = features.clone()
    other[1, :, 2, 3] *= torch.arange(8.0)
    changed = (norm(features) != norm(other)).any(1)
    assert changed.nonzero().tolist() == [[1, 2, 3]]


def test_levels_add_the_encoders_outputs_to_the_shuffled_ones():
    network = alive(NAFNet(**SMALL))
    blurred = torch.rand(1, 3, 8, 12, dtype=torch.float64)
    first = network.encoders[0](network.intro(blurred))
    second = network.encoders[1](network.downs[0](first))
    middle = network.middle(network.downs[1](second))
    assert [tuple(x.shape[1:]) for x in (first, second, middle)] == [(4, 8, 12), (8, 4, 6), (16, 2, 3)]
    low = network.decoders[0](network.ups[0](middle) + second)
    full = network.decoders[1](network.ups[1](low) + first)
    torch.testing.assert_close(network(blurred), blurred + network.ending(full))
    assert [len(stage) for stage in (*network.encoders, network.middle, *network.decoders)] == [1, 2, 1, 2, 1]
    assert all(up[0].bias is None for up in network.ups)


def test_output_is_not_clamped():
    network = NAFNet(**SMALL)
    nn.init.constant_(network.ending.bias, 3.0)
    assert network(torch.rand(1, 3, 8, 8)).max() > 1


@pytest.mark.parametrize("levels", [1, 3, 4])
def test_divisor_is_two_to_the_levels(levels: int):
    network = NAFNet(width=2, encoder_blocks=[1] * levels, decoder_blocks=[1] * levels)
    side = 2**levels
    assert network.size_divisor == side
    assert network(torch.rand(1, 3, side, 2 * side)).shape == (1, 3, side, 2 * side)
    with pytest.raises(ValueError, match=f"NAFNet needs sizes divisible by {side}, got {side}x{side + 1}"):
        network(torch.rand(1, 3, side, side + 1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"encoder_blocks": (1, 1, 1)}, "one entry for each level, got 3 and 2"),
        ({"width": 0}, r"width >= 1 .*; got 0, \[1, 2\], 1, \[2, 1\]"),
        ({"middle_blocks": -1}, r"no negative number of blocks; got 4, \[1, 2\], -1"),
        ({"decoder_blocks": (2, -1)}, r"no negative number of blocks; got 4, \[1, 2\], 1, \[2, -1\]"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        NAFNet(**{**SMALL, **arguments})


def test_padding_is_declared_and_changes_no_weights():
    assert NAFNet(**SMALL).size_padding == "reflect"
    zeros = NAFNet(**SMALL, padding="zeros")
    assert zeros.size_padding == "zeros"
    assert list(zeros.state_dict()) == list(NAFNet(**SMALL).state_dict())
    with pytest.raises(ValueError, match="padding is reflect or zeros, got 'zero'"):
        NAFNet(**SMALL, padding="zero")
