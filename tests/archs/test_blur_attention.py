"""The Blur-Attention generator: its sizes under every reading, its residuals, its attention, and Table 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from counting import count, gmacs
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.blur_attention import BlurAttention, SpatialAttention
from deblurkit.options.load import load_options

OPTIONS = Path(__file__).parents[2] / "options"
SMALL: dict[str, Any] = {"channels": (4, 6, 8), "growth": 4, "modules": 3, "layers": 2}
READINGS = {
    "B": ({}, 8_245_071, 36.726, 516.458),
    "B2": ({"fusion": "outputs"}, 7_982_927, 35.652, 501.358),
    "A": ({"channels": (64, 128, 72), "growth": 12, "fusion": "none"}, 597_687, 5.413, 76.121),
    "C": ({"channels": (64, 128, 72)}, 4_399_287, 20.977, 294.994),
    "D": ({"channels": (64, 128, 432), "fusion": "none"}, 10_682_367, 46.713, 656.895),
    "E": ({"channels": (32, 64, 128)}, 5_273_423, 22.620, 318.100),
}
TABLE_1 = {
    "ablations/bag/plain": ({"unit": "plain", "attention": False}, 27.08, 17_278_979),
    "ablations/bag/model1": ({"unit": "residual", "attention": False}, 28.20, 17_278_979),
    "ablations/bag/model2": ({"norm": "batch", "attention": False}, 28.80, 8_250_179),
    "ablations/bag/model3": ({"attention": False}, 29.06, 8_244_675),
    "ablations/bag/model4": ({"residual": "plain"}, 29.14, 8_245_071),
    "bag": ({}, 29.41, 8_245_071),
}


def small(**arguments: Any) -> BlurAttention:
    torch.manual_seed(0)
    network = BlurAttention(**{**SMALL, **arguments}).double()
    with torch.no_grad():
        for weight in network.parameters():  # larger than N(0, 0.02), so that each part is seen in the output
            weight.normal_(0.0, 0.3)
    return network


def image(n: int = 1) -> Tensor:
    return 2 * torch.rand(n, 3, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 1


@pytest.mark.parametrize("reading", READINGS)
def test_sizes_of_the_readings(reading: str):
    arguments, parameters, at_256, at_720p = READINGS[reading]
    with torch.device("meta"):
        network = BlurAttention(**arguments)
    assert count(network) == parameters
    assert gmacs(network, 256, 256) == pytest.approx(at_256, rel=1e-3)
    assert gmacs(network, 720, 1280) == pytest.approx(at_720p, rel=1e-3)


def test_sizes_of_a_module():
    with torch.device("meta"):
        block = BlurAttention().blocks[0]
    assert count(block.unit) == 1_871_984
    assert count(block.attention) == 99
    dense = [(layer[0].in_channels, layer[0].out_channels) for layer in block.unit.layers]
    assert dense == [(256 + 72 * i, 72) for i in range(6)]


def test_multilevel_residual_adds_the_first_features_to_each_module():
    """What enters module k + 1, and at last the decoder, is F_1 + BAM_k(F_k): seen by hooks, bit for bit."""
    network = small()
    entered: list[Tensor] = []
    left: list[Tensor] = []

    def note(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        entered.append(inputs[0].clone())
        left.append(output.clone())

    for part in (*network.blocks, network.decoder):
        part.register_forward_hook(note)
    network(image())
    first = network.encoder(image())
    assert len(entered) == 4
    assert torch.equal(entered[0], first)
    for change, following in zip(left[:-1], entered[1:], strict=True):
        assert torch.equal(following, first + change)
        assert not torch.allclose(following, change)


@pytest.mark.parametrize("residual", ["multilevel", "plain", "none"])
def test_each_residual_is_its_formula(residual: str):
    network = small(residual=residual)
    first = network.encoder(image())
    a, b, c = network.blocks
    joined = {
        "multilevel": first + c(first + b(first + a(first))),
        "none": c(b(a(first))),
    }
    once = first + a(first)
    twice = once + b(once)
    joined["plain"] = twice + c(twice)
    for name, features in joined.items():
        expected = torch.clamp(image() + network.decoder(features), -1, 1)
        assert torch.allclose(network(image()), expected, atol=1e-12) == (name == residual)


def test_first_module_alone_is_the_same_under_both_residuals():
    """F_2 = F_1 + BAM_1(F_1) either way: they part at the second module."""
    multilevel, plain = small(modules=1), small(modules=1, residual="plain")
    assert torch.equal(multilevel(image()), plain(image()))


def test_attention_is_the_papers_equation():
    """Equation 3 pixel by pixel: a 7x7 window, zero outside, over maximum and mean of the channels."""
    torch.manual_seed(0)
    attention = SpatialAttention().double()
    features = torch.randn(2, 5, 6, 8, dtype=torch.float64)
    weight, bias = attention.convolution.weight[0], attention.convolution.bias[0]
    seen = attention(features)
    assert seen.shape == (2, 1, 6, 8)
    for n, y, x in [(0, 0, 0), (0, 3, 4), (1, 5, 7), (1, 2, 0)]:
        total = bias.clone()
        for i in range(-3, 4):
            for j in range(-3, 4):
                if 0 <= y + i < 6 and 0 <= x + j < 8:
                    pixel = features[n, :, y + i, x + j]
                    total += weight[0, i + 3, j + 3] * pixel.max() + weight[1, i + 3, j + 3] * pixel.sum() / 5
        torch.testing.assert_close(seen[n, 0, y, x], 1 / (1 + torch.exp(-total)))


@pytest.mark.parametrize("fusion", ["input+outputs", "outputs", "none"])
def test_module_is_dense_and_weighed_by_its_attention(fusion: str):
    block = small(fusion=fusion).blocks[0]

    def step(convolution: nn.Conv2d, seen: Tensor, padding: int) -> Tensor:
        response = functional.conv2d(seen, convolution.weight, convolution.bias, padding=padding)
        centred = response - response.mean((2, 3), keepdim=True)
        return functional.relu(centred / torch.sqrt(centred.square().mean((2, 3), keepdim=True) + 1e-5))

    features = torch.randn(1, 8, 4, 6, dtype=torch.float64)
    one = step(block.unit.layers[0][0], features, 1)
    two = step(block.unit.layers[1][0], torch.cat([features, one], 1), 1)
    extracted = torch.cat([one, two], 1)
    if fusion != "none":
        seen = extracted if fusion == "outputs" else torch.cat([features, extracted], 1)
        extracted = step(block.unit.fusion[0], seen, 0)
    torch.testing.assert_close(block(features), block.attention(extracted) * extracted)


def test_without_attention_a_module_is_its_unit():
    block = small(attention=False).blocks[0]
    features = torch.randn(1, 8, 4, 6, dtype=torch.float64)
    assert torch.equal(block(features), block.unit(features))


def test_decoder_is_three_transposed_convolutions():
    network = small()
    *_, last, tanh = network.decoder
    assert [m.stride for m in network.decoder if isinstance(m, nn.ConvTranspose2d)] == [(2, 2), (2, 2), (1, 1)]
    assert (last.kernel_size, last.padding, last.out_channels) == ((7, 7), (3, 3), 3)
    assert isinstance(tanh, nn.Tanh)


@pytest.mark.parametrize(("bias", "added"), [(0.0, 0.0), (50.0, 1.0), (-50.0, -1.0)])
def test_restored_is_the_clamped_sum(bias: float, added: float):
    network = small()
    last = network.decoder[-2]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(bias)
    torch.testing.assert_close(network(image()), (image() + added).clamp(-1, 1))


@pytest.mark.parametrize("file", TABLE_1)
def test_every_row_of_table_1_is_an_option_file(file: str):
    arguments, psnr, _ = TABLE_1[file]
    options = load_options(OPTIONS / f"{file}.yml")
    assert options.generator == {"type": "BlurAttention", **arguments}
    assert options.paper is not None
    assert options.paper.published["gopro"]["psnr"] == psnr
    assert ("ssim" in options.paper.published["gopro"]) == (file == "bag")


@pytest.mark.parametrize("file", TABLE_1)
def test_modules_of_table_1_have_seven_convolutions(file: str):
    arguments, _, parameters = TABLE_1[file]
    with torch.device("meta"):
        network = BlurAttention(**arguments)
    assert count(network) == parameters
    for block in network.blocks:
        assert len([m for m in block.unit.modules() if isinstance(m, nn.Conv2d)]) == 7
        assert (block.attention is None) == (not arguments.get("attention", True))


@pytest.mark.parametrize(("norm", "batch", "instance"), [("instance", 0, 33), ("batch", 28, 5)])
def test_batch_norm_is_in_the_modules_only(norm: str, batch: int, instance: int):
    with torch.device("meta"):
        kinds = [type(module) for module in BlurAttention(norm=norm).modules()]
    assert (kinds.count(nn.BatchNorm2d), kinds.count(nn.InstanceNorm2d)) == (batch, instance)


def test_residual_and_plain_units_are_our_readings():
    blocks = small(unit="residual", layers=4).blocks[0].unit
    features = torch.randn(1, 8, 4, 6, dtype=torch.float64)
    first, second, closing = blocks
    middle = features + first.body(features)
    torch.testing.assert_close(blocks(features), closing(middle + second.body(middle)))
    assert blocks.train()(features).equal(blocks.eval()(features)), "no dropout"
    plain = small(unit="plain", layers=2).blocks[0].unit
    assert [(m[0].in_channels, m[0].out_channels, m[0].kernel_size) for m in plain] == [(8, 8, (3, 3))] * 3


def test_batch_norm_at_batch_one_trains_like_instance_norm():
    """Model 2 and Model 3 differ, at the paper's batch size, in BN's scale and shift and in evaluation only."""
    instance, batch = small(), small(norm="batch")
    for module in batch.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    batch.load_state_dict(instance.state_dict(), strict=False)
    torch.testing.assert_close(batch.train()(image()), instance(image()))
    assert not torch.allclose(batch.eval()(image()), instance(image()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"channels": (4, 8)}, r"three convolutions, got \[4, 8\]"),
        ({"channels": (4, 0, 8)}, r"three convolutions, got \[4, 0, 8\]"),
        ({"growth": 0}, "growth, modules and layers >= 1, got 0, 3, 2"),
        ({"modules": 0}, "growth, modules and layers >= 1, got 4, 0, 2"),
        ({"layers": 0}, "growth, modules and layers >= 1, got 4, 3, 0"),
        ({"fusion": "none", "growth": 3}, r"layers \* growth = trunk, got 2 \* 3 and 8"),
        ({"fusion": "input"}, r"fusion is input\+outputs, outputs or none, got 'input'"),
        ({"unit": "resnet"}, "unit is dense, residual or plain, got 'resnet'"),
        ({"unit": "residual", "layers": 3}, "layers must be even, got 3"),
        ({"norm": "layer"}, "norm is instance or batch, got 'layer'"),
        ({"residual": "dense"}, "residual is multilevel, plain or none, got 'dense'"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        BlurAttention(**{**SMALL, **arguments})
