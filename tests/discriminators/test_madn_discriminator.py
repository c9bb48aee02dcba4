"""MADN's critic: its size, and its layers against a computation by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from counting import count, gmacs
from torch import nn
from torch.nn import functional

from deblurkit.discriminators.madn import MADNDiscriminator

SMALL: dict[str, Any] = {"channels": [2, 3, 3, 4, 5], "hidden": 6}


def small(**arguments: Any) -> MADNDiscriminator:
    torch.manual_seed(0)
    return MADNDiscriminator(**{**SMALL, **arguments})


def test_parameters_and_macs():
    with torch.device("meta"):
        critic = MADNDiscriminator()
    assert count(critic) == 4_827_332
    assert gmacs(critic, 256, 256) == pytest.approx(2.831, rel=1e-3)


@pytest.mark.parametrize("side", [256, 96])
def test_layers_by_hand(side: int):
    """Ten 3x3 convolutions, every second one halving, two of 1x1, two dense ones; 8 x 8 is left as it is."""
    critic = small()
    layers = [m for m in critic.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    image = torch.rand(2, 3, side, side)
    features = image
    for number, layer in enumerate(layers[:12]):
        stride, padding = (1 + number % 2, 1) if number < 10 else (1, 0)
        features = functional.leaky_relu(
            functional.conv2d(features, layer.weight, layer.bias, stride, padding), negative_slope=0.2
        )
    assert features.shape == (2, 1, side // 32, side // 32)
    if side != 256:
        features = functional.adaptive_avg_pool2d(features, 8)
    hidden = functional.leaky_relu(features.flatten(1) @ layers[12].weight.t() + layers[12].bias, negative_slope=0.2)
    torch.testing.assert_close(critic(image), hidden @ layers[13].weight.t() + layers[13].bias)
    assert [layer.weight.shape[0] for layer in layers] == [2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 1, 1, 6, 1]


def test_single_weight_starts_open():
    single = [m for m in small().modules() if isinstance(m, nn.Conv2d)][-1]
    assert single.weight.flatten().tolist() == [1.0]


def test_takes_a_condition():
    assert small(in_channels=6)(torch.rand(1, 6, 64, 64)).shape == (1, 1)


def test_spectral_norm_bounds_every_layer():
    critic = small(spectral_norm=True)
    for _ in range(30):
        critic(torch.rand(1, 3, 64, 64))
    critic.eval()
    layers = [m for m in critic.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 14
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("arguments", [{"channels": []}, {"channels": [4, 0]}, {"hidden": 0}, {"in_channels": 0}])
def test_bad_arguments_are_refused(arguments: dict[str, Any]):
    with pytest.raises(ValueError, match="at least 1"):
        MADNDiscriminator(**arguments)
