"""MADN's generator: its published and derived sizes, and its structure against computations by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from counting import count, gmacs
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.madn import MADN, NestedResBlock, ResBlock
from deblurkit.losses.views import sobel

SMALL: dict[str, Any] = {"channels": [4, 6, 8], "blocks": 2}
THIRD = {"channels": (32, 64, 128)}


def small(**arguments: Any) -> MADN:
    torch.manual_seed(0)
    return MADN(**{**SMALL, **arguments})


@pytest.fixture
def blurred() -> Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("arguments", "parameters", "at_256", "at_720p"),
    [
        ({}, 29_624_457, 323.736, 4552.536),
        (THIRD, 7_411_785, 81.050, 1139.761),
        ({"fusion": "light"}, 29_293_641, 302.093, 4248.187),
    ],
)
def test_parameters_and_macs(arguments: dict[str, Any], parameters: int, at_256: float, at_720p: float):
    with torch.device("meta"):
        network = MADN(**arguments)
    assert count(network) == parameters
    assert gmacs(network, 256, 256) == pytest.approx(at_256, rel=1e-3)
    assert gmacs(network, 720, 1280) == pytest.approx(at_720p, rel=1e-3)


def test_parameters_of_the_parts():
    with torch.device("meta"):
        network = MADN()
    parts = [count(part) for part in (network.scale, network.gradient, network.fusion)]
    assert parts == [13_171_971, 16_046_147, 406_339]


def test_nested_residual_of_equation_9_is_a_chain():
    """P + R1(P) + R2(P + R1(P)), with R the residual branch, is two blocks one after the other."""
    torch.manual_seed(0)
    one, two = ResBlock(5), ResBlock(5)
    features = torch.randn(2, 5, 7, 6)
    nested = features + one.body(features) + two.body(features + one.body(features))
    torch.testing.assert_close(two(one(features)), nested)
    assert not [m for m in one.modules() if isinstance(m, nn.BatchNorm2d | nn.InstanceNorm2d)]
    assert (one(features) < 0).any(), "no ReLU after the sum"


def test_nested_blocks_are_equation_9_with_whole_blocks_over_four():
    """P + R1(P) + R2(P + R1(P)), R1(P) the block's output; without biases the halves of both sums are one quarter."""
    torch.manual_seed(0)
    one, two = NestedResBlock(5).double(), NestedResBlock(5).double()
    for block in (one, two):
        nn.init.zeros_(block.body[0].bias)
        nn.init.zeros_(block.body[2].bias)
    features = torch.randn(2, 5, 7, 6, dtype=torch.float64)

    def whole(block: NestedResBlock, x: Tensor) -> Tensor:
        return x + block.body(x)

    first = features + whole(one, features)
    torch.testing.assert_close(two(one(features)), (first + whole(two, first)) / 4)


def test_nested_network_has_the_same_weights_and_another_function(blurred: Tensor):
    with torch.device("meta"):
        assert count(MADN(nested=True)) == 29_624_457
    series, nested = small(), small(nested=True)
    nested.load_state_dict(series.state_dict())
    assert list(nested.state_dict()) == list(series.state_dict())
    blocks = [m for m in nested.modules() if isinstance(m, ResBlock)]
    assert len(blocks) == 2 * (6 + 6 + 1), "two in each module of both codecs and of the fusion"
    assert all(isinstance(block, NestedResBlock) for block in blocks)
    assert not any(isinstance(m, NestedResBlock) for m in series.modules())
    assert not torch.allclose(nested(blurred)["image"], series(blurred)["image"], atol=1e-3)


def test_identity_of_nested_blocks_has_gain_one(blurred: Tensor):
    """With dead branches a block passes on what it gets, whatever the depth; undamped it would double it."""
    network = small(nested=True)
    for block in (m for m in network.modules() if isinstance(m, ResBlock)):
        nn.init.zeros_(block.body[2].weight)
        nn.init.zeros_(block.body[2].bias)
    entry = network.gradient.in_block
    torch.testing.assert_close(entry(blurred), functional.relu(convolved(entry[0], blurred)))


def test_nested_network_learns():
    network = small(nested=True)
    sharp = functional.interpolate(torch.rand(1, 3, 4, 4), size=(16, 16), mode="nearest")
    blurred = functional.avg_pool2d(sharp, (1, 7), stride=1, padding=(0, 3), count_include_pad=False)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    losses = []
    for _ in range(30):
        loss = functional.l1_loss(network(blurred)["image"], sharp)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def resized(image: Tensor, h: int, w: int) -> Tensor:
    return functional.interpolate(image, size=(h, w), mode="bicubic", align_corners=False, antialias=False)


def test_three_calls_of_one_scale_network_by_hand(blurred: Tensor):
    network = small()
    found = network(blurred)
    quarter, half = resized(blurred, 8, 12), resized(blurred, 16, 24)
    f3, i3 = network.scale(torch.cat([quarter, quarter], dim=1))
    f2, i2 = network.scale(torch.cat([half, resized(i3, 16, 24)], dim=1))
    f1, i1 = network.scale(torch.cat([blurred, resized(i2, 32, 48)], dim=1))
    for one, two in zip(found["scales"], [i1, i2, i3], strict=True):
        torch.testing.assert_close(one, two)
    gradient_features, gradient = network.gradient(sobel(blurred), [f2, f3])
    torch.testing.assert_close(found["gradient"], gradient)
    torch.testing.assert_close(found["image"], network.fusion(torch.cat([f1, gradient_features], dim=1)))


def convolved(layer: nn.Module, features: Tensor) -> Tensor:
    """A 3x3 layer from its weight alone; a transposed one as the gradient of the convolution it transposes."""
    if isinstance(layer, nn.Conv2d):
        return functional.conv2d(features, layer.weight, layer.bias, layer.stride, 1)
    stride = layer.stride[0]
    shape = (features.shape[0], layer.weight.shape[1], *(stride * side for side in features.shape[-2:]))
    image = torch.zeros(shape, requires_grad=True)
    (pulled,) = torch.autograd.grad(functional.conv2d(image, layer.weight, None, stride, 1), image, features)
    return pulled + layer.bias[:, None, None]


def test_gradient_network_by_hand(blurred: Tensor):
    """Convolution then residual blocks, the mirror of it, added skips, and each guide after its EBlock."""
    codec = small().gradient
    guides = [torch.rand(2, 4, 16, 24), torch.rand(2, 4, 8, 12)]

    def entry(module: nn.Sequential, features: Tensor) -> Tensor:
        return module[2:](functional.relu(convolved(module[0], features)))

    def leave(module: nn.Sequential, features: Tensor) -> Tensor:
        return functional.relu(convolved(module[-2], module[:-2](features)))

    with torch.no_grad():
        found, image = codec(blurred, guides)
    fine = entry(codec.in_block, blurred)
    middle = entry(codec.encode_1, fine)
    coarse = entry(codec.encode_2, torch.cat([middle, guides[0]], dim=1))
    assert [tuple(item.shape[1:]) for item in (fine, middle, coarse)] == [(4, 32, 48), (6, 16, 24), (8, 8, 12)]
    up = leave(codec.decode_1, torch.cat([coarse, guides[1]], dim=1)) + middle
    up = leave(codec.decode_2, up) + fine
    features = leave(codec.out_block, up)
    torch.testing.assert_close(found, features.detach(), rtol=1e-4, atol=1e-5)
    weight = codec.to_image.weight[:, :, 0, 0]
    by_hand = torch.einsum("oc,nchw->nohw", weight, features) + codec.to_image.bias[:, None, None]
    torch.testing.assert_close(image, by_hand.detach(), rtol=1e-4, atol=1e-5)
    modules = (codec.in_block, codec.encode_1, codec.encode_2, codec.decode_1, codec.decode_2, codec.out_block)
    assert all(sum(isinstance(m, ResBlock) for m in module) == SMALL["blocks"] for module in modules)


@pytest.mark.parametrize(("size", "scales"), [((16, 16), [16, 8, 4]), ((48, 32), [48, 24, 12])])
def test_outputs(size: tuple[int, int], scales: list[int]):
    outputs = small()(torch.rand(1, 3, *size))
    assert list(outputs) == ["image", "gradient", "scales"]
    assert outputs["image"].shape == outputs["gradient"].shape == (1, 3, *size)
    assert [item.shape[-2] for item in outputs["scales"]] == scales


def test_output_is_linear_not_clamped(blurred: Tensor):
    network = small()
    with torch.no_grad():
        network.fusion[-1].bias.fill_(7.0)
    assert network(blurred)["image"].min() > 1


@pytest.mark.parametrize("fusion", ["full", "light"])
def test_starts_with_outputs_of_the_order_of_the_input(fusion: str):
    """Over six seeds of the paper's widths 0.13 to 0.86 for inputs of 0.2 and 0.29; He et al. alone: 2e4 and more."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        outputs = MADN(**THIRD, fusion=fusion)(image)
    for output in (outputs["image"], outputs["gradient"], *outputs["scales"]):
        assert 0.05 < output.std() < 2


def glorot(network: nn.Module) -> None:
    """Initialise as TensorFlow does where nothing is said."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("start", "least"), [(None, 0.03), (glorot, 0.003)])
def test_nested_outputs_start_no_larger_than_the_input(
    seed: int, start: Callable[[nn.Module], None] | None, least: float
):
    """Measured at full widths on 64x64 pixels: 0.11 to 0.20, with Glorot's 0.02 to 0.11; undamped 1e17 to 1e20."""
    torch.manual_seed(seed)
    image, network = torch.rand(1, 3, 32, 32), MADN(**THIRD, nested=True)
    if start is not None:
        start(network)
    with torch.no_grad():
        outputs = network(image)
    for output in (outputs["image"], outputs["gradient"], *outputs["scales"]):
        assert least < output.std() < 1


def test_gradient_map_is_taken_in_float32_under_autocast(blurred: Tensor):
    network = small()
    seen = []
    network.gradient.in_block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        network(blurred)
    assert torch.equal(seen[0], sobel(blurred))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": [4, 8]}, "three widths"),
        ({"channels": [4, 0, 8]}, "three widths"),
        ({"blocks": 0}, "residual block"),
        ({"fusion": "heavy"}, "'heavy'"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        MADN(**arguments)
