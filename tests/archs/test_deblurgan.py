"""DeblurGAN: its two published sizes and its residual block."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from counting import count, gmacs
from torch import nn
from torch.nn import functional

from deblurkit.archs.blocks import ReflectedResBlock
from deblurkit.archs.deblurgan import DeblurGAN

SIZES: dict[str, tuple[dict[str, Any], int, float, float]] = {
    "two convolutions a block": ({}, 11_378_179, 49.552, 696.818),
    "one, as the public code since 2019": ({"convs_per_block": 1}, 6_067_459, 27.808, 391.053),
}


@pytest.mark.parametrize("layout", SIZES)
def test_sizes(layout: str):
    arguments, parameters, at_256, at_720p = SIZES[layout]
    with torch.device("meta"):
        network = DeblurGAN(**arguments)
    assert count(network) == parameters
    assert gmacs(network, 256, 256) == pytest.approx(at_256, rel=1e-3)
    assert gmacs(network, 720, 1280) == pytest.approx(at_720p, rel=1e-3)


@pytest.mark.parametrize("convs", [1, 2])
def test_block_against_its_formula(convs: int):
    torch.manual_seed(0)
    block = ReflectedResBlock(4, dropout=0.5, convs=convs).eval()
    features = torch.randn(2, 4, 6, 7)
    kernels = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    assert len(kernels) == convs
    change = features
    for index, kernel in enumerate(kernels):
        padded = functional.pad(change, (1, 1, 1, 1), mode="reflect")
        change = functional.instance_norm(functional.conv2d(padded, kernel.weight, kernel.bias))
        change = change.relu() if index == 0 else change
    assert torch.allclose(block(features), features + change, atol=1e-6)


@pytest.mark.parametrize("convs", [1, 2])
def test_dropout_is_in_the_block_and_off_in_evaluation(convs: int):
    network = DeblurGAN(channels=2, blocks=1, convs_per_block=convs)
    blurred = torch.rand(1, 3, 16, 16)
    assert torch.equal(network.eval()(blurred), network(blurred))
    assert not torch.equal(network.train()(blurred), network(blurred))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"convs_per_block": 3}, "1 or 2 convolutions, got 3"),
        ({"channels": 0}, "channels >= 1"),
        ({"dropout": 1.0}, "dropout < 1"),
    ],
)
def test_mistakes_are_refused(arguments: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        DeblurGAN(**arguments)
