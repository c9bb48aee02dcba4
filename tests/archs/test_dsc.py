"""The depthwise-separable generator: sizes of every reading, its attention, its convolutions, how it starts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from counting import count, gmacs
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.dsc import AttentiveSeparableBlock, ChannelAttention, DSCNet, SpatialAttention

SMALL: dict[str, Any] = {"channels": 8, "blocks": 2, "reduction": 8}
READINGS = {
    "default": ({}, 3_124_213, 18.403, 258.792),
    "biased": ({"dsc_bias": True}, 3_138_037, 18.403, 258.792),
    "espcn": ({"upsample": "espcn"}, 3_769_525, 20.819, 292.766),
    "espcn_biased": ({"upsample": "espcn", "dsc_bias": True}, 3_783_349, 20.819, 292.766),
    "espcn_two_biased": ({"upsample": "espcn", "dsc_bias": True, "n_dsc": 2}, 3_168_181, 18.318, 257.598),
    "literal": ({"upsample": "literal"}, 2_600_677, 12.203, 171.601),
    "literal_biased": ({"upsample": "literal", "dsc_bias": True}, 2_614_501, 12.203, 171.601),
    "shuffle_first": ({"upsample": "shuffle_first"}, 2_386_549, 13.571, 190.844),
    "shuffle_first_biased": ({"upsample": "shuffle_first", "dsc_bias": True}, 2_400_373, 13.571, 190.844),
}


def small(**arguments: Any) -> DSCNet:
    torch.manual_seed(0)
    return DSCNet(**{**SMALL, **arguments}).double().eval()


def image(height: int = 16, width: int = 24) -> Tensor:
    return 2 * torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 1


@pytest.mark.parametrize("reading", READINGS)
def test_sizes_of_the_readings(reading: str):
    arguments, parameters, at_256, at_720p = READINGS[reading]
    with torch.device("meta"):
        network = DSCNet(**arguments)
    assert count(network) == parameters
    assert gmacs(network, 256, 256) == pytest.approx(at_256, rel=1e-3)
    assert gmacs(network, 720, 1280) == pytest.approx(at_720p, rel=1e-3)


def test_the_default_meets_the_published_size():
    with torch.device("meta"):
        network = DSCNet()
    assert round(4 * count(network) / 2**20, 2) == 11.92
    assert count(network.blocks[0]) == 211_810 == 3 * (256 * 9 + 256 * 256) + 2 * 256 * 16 + 2 * 49


def test_ratio_of_separable_to_standard_convolution_is_equation_4():
    with torch.device("meta"):
        block = AttentiveSeparableBlock(256, 1, False, 16, 0.5)
    separable = count(block) - 2 * 256 * 16 - 2 * 49
    assert separable / (9 * 256 * 256) == pytest.approx(1 / 256 + 1 / 9)


def test_channel_attention_is_its_formula():
    torch.manual_seed(0)
    attention, features = ChannelAttention(6, 2).double(), torch.randn(2, 6, 5, 7, dtype=torch.float64)
    squeeze, _, expand = attention.perceptron
    first, second = squeeze.weight[:, :, 0, 0], expand.weight[:, :, 0, 0]
    assert first.shape == (3, 6)
    for sample, seen in zip(features, attention(features), strict=True):
        logits = torch.zeros(6, dtype=torch.float64)
        for pooled in (sample.sum((1, 2)) / 35, sample.flatten(1).max(1).values):
            hidden = first @ pooled
            logits += second @ torch.where(hidden > 0, hidden, 0.2 * hidden)
        torch.testing.assert_close(seen, sample / (1 + torch.exp(-logits))[:, None, None])


def test_spatial_attention_is_its_formula():
    torch.manual_seed(0)
    attention, features = SpatialAttention().double(), torch.randn(1, 4, 6, 8, dtype=torch.float64)
    weight, seen = attention.conv.weight[0], attention(features)
    assert weight.shape == (2, 7, 7)
    for y, x in [(0, 0), (3, 4), (5, 7), (2, 0)]:
        logit = torch.zeros((), dtype=torch.float64)
        for i in range(-3, 4):
            for j in range(-3, 4):
                if 0 <= y + i < 6 and 0 <= x + j < 8:
                    pixel = features[0, :, y + i, x + j]
                    logit += weight[0, i + 3, j + 3] * pixel.max() + weight[1, i + 3, j + 3] * pixel.sum() / 4
        torch.testing.assert_close(seen[0, :, y, x], features[0, :, y, x] / (1 + torch.exp(-logit)))


@pytest.mark.parametrize("n_dsc", [1, 3])
def test_block_adds_separable_convolutions_of_the_attended_features(n_dsc: int):
    block = small(n_dsc=n_dsc, dsc_bias=True).blocks[0]
    channel, spatial, *layers = block.body
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 2 * n_dsc
    features = torch.randn(1, 32, 6, 5, dtype=torch.float64)
    branch = spatial(channel(features))
    for depthwise, pointwise in zip(convolutions[::2], convolutions[1::2], strict=True):
        padded = functional.pad(branch, (1, 1, 1, 1))
        windows = padded.unfold(2, 3, 1).unfold(3, 3, 1)
        alone = (windows * depthwise.weight[:, 0, None, None]).sum((-2, -1)) + depthwise.bias.view(-1, 1, 1)
        mixed = torch.einsum("oc,nchw->nohw", pointwise.weight[:, :, 0, 0], alone) + pointwise.bias.view(-1, 1, 1)
        branch = torch.where(mixed > 0, mixed, 0.2 * mixed)
    torch.testing.assert_close(block(features), features + branch)


def test_depthwise_keeps_channels_apart_and_pointwise_keeps_pixels_apart():
    depthwise, pointwise = [m for m in small().blocks[0].body if isinstance(m, nn.Conv2d)][:2]
    features = torch.zeros(1, 32, 7, 7, dtype=torch.float64)
    features[0, 5, 3, 3] = 1
    alone, mixed = depthwise(features)[0], pointwise(features)[0]
    assert alone.abs().sum((1, 2)).nonzero().tolist() == [[5]]
    assert alone[5].count_nonzero() == 9
    assert mixed.abs().sum(0).nonzero().tolist() == [[3, 3]]


def test_no_norm_and_dropout_after_the_first_separable_convolution():
    network = small(dropout=0.25)
    assert not [m for m in network.modules() if "Norm" in type(m).__name__]
    for block in network.blocks:
        kinds = [type(m).__name__ for m in block.body]
        assert [i for i, kind in enumerate(kinds) if kind == "Dropout"] == [5]
        assert kinds[2:5] == ["Conv2d", "Conv2d", "LeakyReLU"]
        assert block.body[5].p == 0.25


@pytest.mark.parametrize(
    ("upsample", "shapes"),
    [
        ("two_conv", [(32, 4, 6), (8, 8, 12), (16, 8, 12), (16, 8, 12), (4, 16, 24), (8, 16, 24)]),
        ("espcn", [(64, 4, 6), (16, 8, 12), (32, 8, 12), (8, 16, 24)]),
        ("literal", [(16, 4, 6), (4, 8, 12), (8, 8, 12), (2, 16, 24)]),
        ("shuffle_first", [(8, 8, 12), (16, 8, 12), (4, 16, 24), (8, 16, 24)]),
    ],
)
def test_upsampling_shapes(upsample: str, shapes: list[tuple[int, int, int]]):
    network = small(upsample=upsample)
    seen: list[tuple[int, ...]] = []
    for layer in network.decoder:
        if isinstance(layer, (nn.Conv2d, nn.PixelShuffle)):
            layer.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape[1:])))
    network(image())
    assert seen == [*shapes, (3, 16, 24)]


@pytest.mark.parametrize(("bias", "added"), [(0.0, 0.0), (50.0, 1.0), (-50.0, -1.0)])
def test_restored_is_the_clamped_sum(bias: float, added: float):
    network = small()
    last = network.decoder[-2]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(bias)
    torch.testing.assert_close(network(image()), (image() + added).clamp(-1, 1))


@pytest.mark.parametrize("training", [False, True])
def test_the_tanh_is_not_saturated_at_the_start(training: bool):
    """Without the smaller start of the blocks' last layers its input has an RMS of hundreds."""
    torch.manual_seed(0)
    network = DSCNet().train(training)
    entered: list[Tensor] = []
    network.decoder[-1].register_forward_hook(lambda _, inputs, __: entered.append(inputs[0]))
    with torch.no_grad():
        network(image(64, 64).float())
    assert 0.02 < entered[0].square().mean().sqrt() < 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"channels": 6}, "channels a multiple of 4, .*; got 6, 2, 0.5"),
        ({"channels": 0}, "got 0, 2, 0.5"),
        ({"blocks": -1}, "got 8, -1, 0.5"),
        ({"dropout": 1.0}, "got 8, 2, 1.0"),
        ({"n_dsc": 0}, "n_dsc must be at least 1, got 0"),
        ({"reduction": 64}, "from 1 to the block's 32 channels, got 64"),
        ({"upsample": "nearest"}, "two_conv, espcn, literal or shuffle_first, got 'nearest'"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        DSCNet(**{**SMALL, **arguments})
