"""The double-scale critic: two patch critics of known sizes, each judging the same image."""

from __future__ import annotations

import pytest
import torch
from counting import count, gmacs
from torch import nn
from torch.nn import functional

from deblurkit.discriminators.double_scale import DoubleScaleDiscriminator


def test_sizes():
    with torch.device("meta"):
        critic = DoubleScaleDiscriminator()
        image = torch.empty(1, 3, 256, 256)
    assert (count(critic), count(critic.patch), count(critic.full)) == (13_919_106, 2_764_737, 11_154_369)
    assert gmacs(critic, 256, 256) == pytest.approx(3.610 + 2.542, rel=1e-3)
    assert [tuple(logits.shape) for logits in critic(image)] == [(1, 1, 35, 35), (1, 1, 11, 11)]


def test_widths_and_strides():
    with torch.device("meta"):
        critic = DoubleScaleDiscriminator()
    found = [
        [(layer.out_channels, layer.stride[0]) for layer in part.modules() if isinstance(layer, nn.Conv2d)]
        for part in (critic.patch, critic.full)
    ]
    assert found[0] == [(64, 2), (128, 2), (256, 2), (512, 1), (1, 1)]
    assert found[1] == [(64, 2), (128, 2), (256, 2), (512, 2), (512, 2), (512, 1), (1, 1)]


@pytest.mark.parametrize("side", [64, 97])
def test_each_scale_against_its_formula(side: int):
    torch.manual_seed(0)
    critic = DoubleScaleDiscriminator(in_channels=6, channels=2)
    image = torch.randn(2, 6, side, side)
    for part, logits in zip((critic.patch, critic.full), critic(image), strict=True):
        layers = [layer for layer in part.modules() if isinstance(layer, nn.Conv2d)]
        features = image
        for index, layer in enumerate(layers):
            stride = 2 if index < len(layers) - 2 else 1
            features = functional.conv2d(features, layer.weight, layer.bias, stride, padding=2)
            if 0 < index < len(layers) - 1:
                features = functional.instance_norm(features)
            if index < len(layers) - 1:
                features = functional.leaky_relu(features, 0.2)
        assert torch.allclose(logits, features, atol=1e-5)


def test_spectral_norm_reaches_both_scales():
    critic = DoubleScaleDiscriminator(channels=2, spectral_norm=True)
    assert count(critic) == count(DoubleScaleDiscriminator(channels=2))
    kernels = [layer for layer in critic.modules() if isinstance(layer, nn.Conv2d)]
    assert all(nn.utils.parametrize.is_parametrized(layer) for layer in kernels)
    for _ in range(50):
        critic(torch.rand(1, 3, 64, 64))
    for layer in kernels:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1.0, rel=0.05)
