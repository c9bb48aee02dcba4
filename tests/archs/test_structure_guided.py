"""StructureGuided: the published cost, equations 5 to 7 against a computation by hand, the ablations of Table 5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from counting import count, gmacs
from torch import Tensor, nn
from torch.nn import functional

from deblurkit import build_generator, load_options
from deblurkit.archs.structure_guided import (
    ChannelAttention,
    GradientNet,
    MultiBranchReuseBlock,
    RecurrentGradientConv,
    StructureGuided,
)

OPTIONS = Path(__file__).parents[2] / "options"
SMALL: dict[str, Any] = {"channels": (4, 8, 16), "gradient_channels": 8, "blocks": 1, "reduction": 4}


def on_meta(**arguments: Any) -> StructureGuided:
    with torch.device("meta"):
        return StructureGuided(**arguments).eval()


def small(**arguments: Any) -> StructureGuided:
    return excited(StructureGuided(**{**SMALL, **arguments}))


def excited(network: nn.Module) -> Any:
    """Give a network weights that are large enough for every part to matter."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=random) / max(weight[0].numel(), 4) ** 0.5)
    return network.eval()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def attended(features: Tensor, state: dict[str, Tensor]) -> Tensor:
    """SENet's formula in matrix form."""
    squeezed = features.flatten(2).mean(2)
    hidden = (squeezed @ state["weigh.0.weight"].flatten(1).T + state["weigh.0.bias"]).clamp(min=0)
    weights = (hidden @ state["weigh.2.weight"].flatten(1).T + state["weigh.2.bias"]).sigmoid()
    return torch.einsum("nchw,nc->nchw", features, weights)


def part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def directional_sum(features: Tensor, state: dict[str, Tensor]) -> Tensor:
    """conv1x3 + conv3x1 as one 3x3 convolution whose kernel is a cross."""
    across, down = state["horizontal.weight"], state["vertical.weight"]
    cross = functional.pad(across, (0, 0, 1, 1)) + functional.pad(down, (1, 1))
    return functional.conv2d(features, cross, state["horizontal.bias"] + state["vertical.bias"], padding=1)


def rgcl(features: Tensor, state: dict[str, Tensor], recurrences: int) -> Tensor:
    """Equation 7, unrolled."""
    once = functional.leaky_relu(directional_sum(features, state), 0.2)
    if recurrences == 3:
        twice = functional.leaky_relu(directional_sum(once, state), 0.2)
        once = functional.leaky_relu(directional_sum(twice, state), 0.2)
    gate = torch.einsum("nchw,dc->ndhw", once, state["gate.weight"].flatten(1)) + state["gate.bias"].view(1, -1, 1, 1)
    return attended(1 / (1 + torch.exp(-gate)), part(state, "attention")) + features


@pytest.mark.parametrize(
    ("arguments", "parameters", "at_256", "at_720p"),
    [
        ({}, 2_596_855, 31.696, 445.730),
        ({"upsample": "deconv"}, 2_596_855, 20.825, 292.848),
        ({"multipath": "cascade"}, 2_596_855, 31.696, 445.730),
        ({"pointwise": "inside"}, 2_596_855, 32.703, 459.886),
        ({"path": "conv"}, 2_821_375, 26.663, 374.951),
        ({"paths": 1}, 1_883_735, 24.985, 351.358),
        ({"gradient_net": False}, 839_875, 18.761, 263.828),
    ],
)
def test_parameters_and_macs(arguments: dict[str, Any], parameters: int, at_256: float, at_720p: float):
    network = on_meta(**arguments)
    assert count(network) == parameters
    assert gmacs(network, 256, 256) == pytest.approx(at_256, rel=1e-4)
    assert gmacs(network, 720, 1280) == pytest.approx(at_720p, rel=1e-4)


def test_parameters_of_the_parts():
    with torch.device("meta"):
        assert count(RecurrentGradientConv(64)) == 29_444
        assert count(MultiBranchReuseBlock(64)) == 142_424
        assert count(GradientNet()) == 1_756_980
    blocks = on_meta().gradient_net.blocks
    assert len(blocks) == 10
    assert [type(path) for path in blocks[9].paths] == [RecurrentGradientConv] * 3


@pytest.mark.parametrize("recurrences", [1, 2, 5])
def test_recurrences_share_their_weights(recurrences: int):
    assert count(on_meta(recurrences=recurrences)) == 2_596_855


def test_channel_attention_is_squeeze_and_excitation():
    attention, features = excited(ChannelAttention(8, 4)), noise(2, 8, 5, 6)
    torch.testing.assert_close(attention(features), attended(features, attention.state_dict()))
    assert ChannelAttention(8, 16).weigh[0].out_channels == 1


@pytest.mark.parametrize("recurrences", [1, 3])
def test_rgcl_is_equation_7(recurrences: int):
    layer, features = excited(RecurrentGradientConv(8, recurrences, 4)), noise(2, 8, 7, 9)
    torch.testing.assert_close(layer(features), rgcl(features, layer.state_dict(), recurrences))


def test_convolution_inside_the_recurrence_is_equation_7_read_the_other_way():
    """Conv(LR(..)) three times, each on what the one before made; with one turn both readings are the same."""
    layer, features = excited(RecurrentGradientConv(8, 3, 4, pointwise="inside")), noise(2, 8, 7, 9)
    state = layer.state_dict()

    def turn(y: Tensor) -> Tensor:
        moved = functional.leaky_relu(directional_sum(y, state), 0.2)
        mixed = torch.einsum("nchw,dc->ndhw", moved, state["gate.weight"].flatten(1))
        return mixed + state["gate.bias"].view(1, -1, 1, 1)

    gate = turn(turn(turn(features)))
    wanted = attended(1 / (1 + torch.exp(-gate)), part(state, "attention")) + features
    torch.testing.assert_close(layer(features), wanted)
    assert not torch.allclose(rgcl(features, state, 3), wanted, atol=1e-3)
    one_turn = excited(RecurrentGradientConv(8, 1, 4, pointwise="inside"))
    torch.testing.assert_close(one_turn(features), rgcl(features, state, 1))


def test_every_rgcl_of_the_network_takes_the_reading():
    inside, outside = small(pointwise="inside", blocks=2), small(blocks=2)
    assert list(inside.state_dict()) == list(outside.state_dict())
    layers = [m for m in inside.modules() if isinstance(m, RecurrentGradientConv)]
    assert len(layers) == 6
    assert all(layer.inside for layer in layers)
    image = noise(1, 3, 16, 16)
    assert not torch.allclose(inside(image), outside(image), atol=1e-3)


@pytest.mark.parametrize("recurrences", [1, 3])
def test_recurrences_reach_a_diamond(recurrences: int):
    """A row and a column at a time: after r recurrences a pixel is seen from within r steps along the axes."""
    layer = excited(RecurrentGradientConv(4, recurrences, 4))
    layer.attention = nn.Identity()
    features = noise(1, 4, 11, 11).requires_grad_()
    layer(features)[..., 5, 5].sum().backward()
    steps = (torch.arange(11) - 5).abs()
    assert torch.equal(features.grad[0].abs().sum(0) > 0, steps[:, None] + steps <= recurrences)


@pytest.mark.parametrize("multipath", ["parallel", "cascade"])
def test_mbrb_is_equations_5_and_6(multipath: str):
    block, features = excited(MultiBranchReuseBlock(8, multipath=multipath, reduction=4)), noise(2, 8, 7, 9)
    state = block.state_dict()
    first = rgcl(features, part(state, "paths.0"), 3)
    second = rgcl(features if multipath == "parallel" else first, part(state, "paths.1"), 3)
    third = rgcl(features if multipath == "parallel" else second, part(state, "paths.2"), 3)
    joined = attended(torch.cat([first, second, third], 1), part(state, "attention"))
    fused = functional.conv2d(joined, state["fuse.0.weight"], state["fuse.0.bias"]).clamp(min=0)
    fused = functional.conv2d(fused, state["fuse.2.weight"], state["fuse.2.bias"], padding=1)
    torch.testing.assert_close(block(features), fused + features)


def test_without_rgcl_an_mbrb_has_plain_convolutions():
    block, features = excited(MultiBranchReuseBlock(8, path="conv", reduction=4)), noise(2, 8, 7, 9)
    state = block.state_dict()
    kernel = torch.cat([state[f"paths.{i}.weight"] for i in range(3)])
    found = functional.conv2d(features, kernel, torch.cat([state[f"paths.{i}.bias"] for i in range(3)]), padding=1)
    torch.testing.assert_close(block(features), features + block.fuse(attended(found, part(state, "attention"))))


def test_gradient_net_is_equations_2_to_4():
    network, features = excited(GradientNet(16, 8, blocks=2, reduction=4)), noise(1, 16, 8, 8)
    state = network.state_dict()

    def convolved(image: Tensor, name: str) -> Tensor:
        return functional.conv2d(image, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    found = convolved(convolved(features, "transition.0"), "transition.1")
    found = network.blocks[1](network.blocks[0](found))
    wanted = convolved(attended(found, part(state, "attention")), "back")
    torch.testing.assert_close(network(features), wanted)


def sees_its_input(network: StructureGuided) -> bool:
    one, two = network(noise(2, 3, 16, 16))
    return not torch.equal(one, two)


@torch.no_grad()
def test_skips_join_the_encoder_to_the_decoder():
    """With the bottleneck cut the image still arrives by two skips, with one of them cut by the other, else not."""
    network = small(upsample="deconv")
    network.gradient_net.back.weight.zero_()
    assert sees_its_input(network)
    network.tail[1].weight[:, 4:].zero_()  # what the tail reads: four channels of the decoder, four of the skip
    assert sees_its_input(network)
    network.decoder[1][0].weight[8:].zero_()
    assert not sees_its_input(network)


def test_nearest_upsampling_repeats_pixels():
    network = small()
    stage, features = network.decoder[0][0], noise(1, 16, 4, 4)
    repeated = features.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(stage(features), functional.conv2d(repeated, stage[1].weight, stage[1].bias, padding=1))


def test_global_skip_adds_the_blurred_image():
    plain, skipping, image = small(), small(global_skip=True), noise(1, 3, 16, 24).clamp(-1, 1)
    with torch.no_grad():
        restored = plain(image)
        assert 0.5 < restored.abs().max() <= 1
        assert torch.equal(skipping(image), (image + restored).clamp(-1, 1))


@pytest.mark.parametrize("channels", [(4, 8), (4, 6, 8, 10)])
@pytest.mark.parametrize("upsample", ["nearest", "deconv"])
def test_any_number_of_levels(channels: tuple[int, ...], upsample: str):
    network = small(channels=channels, upsample=upsample)
    side = 2 ** (len(channels) - 1)
    assert network.size_divisor == side
    assert network(noise(1, 3, 4 * side, 8 * side)).shape == (1, 3, 4 * side, 8 * side)


def test_without_gradient_net_the_decoder_follows_the_encoder():
    network, image = small(gradient_net=False), noise(1, 3, 16, 16)
    first = network.encoder[0](image)
    second = network.encoder[1](first)
    found = torch.cat([network.decoder[0](network.encoder[2](second)), second], 1)
    found = torch.cat([network.decoder[1](found), first], 1)
    assert torch.equal(network(image), network.tail(found))
    assert not any(isinstance(module, (GradientNet, ChannelAttention)) for module in network.modules())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": (64,)}, "two levels"),
        ({"channels": (64, 0)}, "one channel"),
        ({"gradient_channels": 0}, "got 0 and 10"),
        ({"blocks": 0}, "got 64 and 0"),
        ({"recurrences": 0}, "recurrences must be from 1 to 1000, got 0"),
        ({"reduction": 0}, "reduction must be at least 1, got 0"),
        ({"paths": 0}, "1 path at least, got 0"),
        ({"path": "plain"}, "'plain'"),
        ({"pointwise": "between"}, "pointwise is outside or inside, got 'between'"),
        ({"multipath": "serial"}, "'serial'"),
        ({"upsample": "bilinear"}, "'bilinear'"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        on_meta(**arguments)


@pytest.mark.parametrize(
    ("row", "parameters", "terms"),
    [
        ("wo_content", 2_596_855, {"gradient", "adversarial"}),
        ("wo_gradient", 2_596_855, {"content", "adversarial"}),
        ("wo_rgcl", 2_821_375, {"content", "gradient", "adversarial"}),
        ("wo_mbrbs", 1_883_735, {"content", "gradient", "adversarial"}),
        ("wo_gradient_net", 839_875, {"content", "gradient", "adversarial"}),
    ],
)
def test_ablations_of_tables_4_and_5(row: str, parameters: int, terms: set[str]):
    options = load_options(OPTIONS / "ablations" / "structure_guided" / f"{row}.yml")
    with torch.device("meta"):
        assert count(build_generator(options)) == parameters
    assert set(options.losses) == terms
    assert set(options.paper.published) == {"gopro"}
    assert options.name == f"structure_guided_{row}"
