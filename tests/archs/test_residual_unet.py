from __future__ import annotations

from typing import Any

import pytest
import torch

from deblurkit.archs.residual_unet import ResidualUNet


def test_a_new_network_returns_its_input_and_all_of_it_learns() -> None:
    torch.manual_seed(0)
    network = ResidualUNet((4, 6, 8), (1, 2, 2), (1, 1))
    image = torch.rand(2, 3, 24, 32)
    assert torch.equal(network(image), image)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):  # behind a last layer of zeros nothing else has a gradient at first
        optimizer.zero_grad()
        (network(image) - image.roll(1, 3)).square().mean().backward()
        optimizer.step()
    idle = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert idle == []


def test_the_defaults_are_the_network_in_the_box() -> None:
    network = ResidualUNet()
    assert sum(weight.numel() for weight in network.parameters()) * 2 < 8e6  # bytes as fp16
    assert network.size_divisor == 8


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"channels": ()}, "encoder_blocks needs one entry for each of channels, decoder_blocks one less, got 0, 3"),
        ({"encoder_blocks": (1, 2)}, "got 3, 2 and 2"),
        ({"decoder_blocks": (1, 2, 3)}, "got 3, 3 and 3"),
        ({"decoder_blocks": (0, 2)}, "needs a channel and a block at every level"),
    ],
)
def test_refuses_lists_that_do_not_fit(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ResidualUNet(**arguments)


def test_refuses_sizes_that_it_cannot_halve() -> None:
    with pytest.raises(ValueError, match="ResidualUNet needs sizes divisible by 8, got 24x36"):
        ResidualUNet((4, 6, 8), (1, 1, 1), (1, 1))(torch.rand(1, 3, 24, 36))
