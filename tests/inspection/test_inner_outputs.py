"""Recording what modules return: of every registered generator, to the bit, and gone afterwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from shrunk import SHRUNK
from torch import Tensor, nn

from deblurkit.contracts import generator_traits
from deblurkit.errors import UserError
from deblurkit.inner_outputs import (
    DeclaresOutputs,
    Pixel,
    default_outputs,
    find_outputs,
    output_names,
    recording,
    survey,
)
from deblurkit.inspection.looking import look_inside, seen_inside
from deblurkit.registry import ARCHS

GENERATORS = [name for name in ARCHS.names() if ARCHS.get(name).__module__.startswith("deblurkit.")]


def build(name: str, **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return ARCHS.build({"type": name, **SHRUNK.get(name, {}), **arguments}).eval()


def image(network: nn.Module) -> Tensor:
    side = generator_traits(network).size_rule.fit(64)
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(1))


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules())


def tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return [one for part in (output.values() if isinstance(output, dict) else output) for one in tensors(part)]


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_shows_something_and_stays_as_it_is(name: str):
    network = build(name)
    seen = seen_inside(network)
    blurred = image(network)
    with torch.no_grad():
        before = network(blurred[None])
        outputs = find_outputs(network, output_names(network, seen), seen, "test")
        with recording(network, outputs) as kept:
            during = network(blurred[None])
    assert all(torch.equal(*pair) for pair in zip(tensors(before), tensors(during), strict=True))
    assert hooks(network) == 0
    assert set(kept) == {ref for output in outputs for ref in output.of}
    shown = default_outputs(network, seen)
    inside = look_inside(network, blurred, shown, Pixel())
    assert len(inside.outputs) == len(shown) >= 1
    for output, values in zip(shown, inside.outputs, strict=True):
        assert values.dim() == 3, output.name
        assert values.isfinite().any(), output.name


def test_hooks_are_gone_after_an_error():
    network = build("DeblurGAN")
    outputs = default_outputs(network, seen_inside(network))
    with pytest.raises(ValueError, match="divisible"), recording(network, outputs):
        network(torch.zeros(1, 3, 63, 64))
    assert hooks(network) == 0


def test_finding_out_leaves_no_trace():
    network = build("Crosshatch", norm="batch").train()
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    seen_inside(network)
    assert torch.equal(torch.rand(3), expected)
    assert buffers
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in network.named_buffers())


def test_what_a_layer_behind_changes_in_place_was_copied_before():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True))
    outputs = find_outputs(network, ["0"], survey(network, lambda: network(torch.ones(1, 3, 4, 4))), "test")
    blurred = torch.randn(1, 3, 4, 4)
    with torch.no_grad(), recording(network, outputs) as kept:
        network(blurred)
    (values,) = kept.values()
    assert (values < 0).any()
    torch.testing.assert_close(values, network[0](blurred).detach())


class Twice(nn.Module):
    """Runs one layer twice and returns a dict with a tuple in it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, blurred: Tensor) -> dict[str, Any]:
        once = self.layer(blurred)
        return {"image": self.layer(once), "extra": (once, once.mean((2, 3)))}


def test_calls_and_parts_have_names():
    network = Twice()
    blurred = torch.rand(1, 3, 4, 4)
    seen = survey(network, lambda: network(blurred))
    assert output_names(network, seen) == [
        *("layer", "layer@1", "layer@2"),
        *("returned:image", "returned:extra:0", "returned:extra:1"),
    ]
    outputs = find_outputs(network, ["layer@1", "layer", "returned:extra:1"], seen, "test")
    with torch.no_grad(), recording(network, outputs) as kept:
        network(blurred)
    first, last, mean = kept.values()
    torch.testing.assert_close(first, network.layer(blurred).detach())
    torch.testing.assert_close(last, network.layer(first).detach())
    assert mean.shape == (1, 3)
    assert [output.name for output in default_outputs(network, seen)] == [
        "returned:extra:0",
        "returned:extra:1",
        "layer",
    ]


def test_unknown_names_are_told_all_at_once():
    network = build("BlurAttention")
    with pytest.raises(UserError) as caught:
        find_outputs(network, ["A1", "a9", "encodr.0", "layer@7"], seen_inside(network), "--outputs")
    first, second, third = caught.value.problems
    wanted = "--outputs: BlurAttention has no module or inner output 'a9'; it has A1, A2, "
    assert first.startswith(wanted)
    assert "(did you mean 'encoder.0'?)" in second
    assert "deblurkit look --list" in third


def test_attention_of_a_blur_attention_network_is_its_sigmoid():
    network = build("BlurAttention")
    features: list[Tensor] = []
    hook = network.blocks[1].unit.register_forward_hook(lambda module, inputs, output: features.append(output))
    names = [output.name for output in default_outputs(network, seen_inside(network))]
    shown = find_outputs(network, ["A2"], seen_inside(network), "test")
    features.clear()
    (attention,) = look_inside(network, image(network), shown, Pixel()).outputs
    hook.remove()
    assert names == ["A1", "A2"]
    pooled = torch.cat([features[0].amax(1, keepdim=True), features[0].mean(1, keepdim=True)], 1)
    expected = torch.sigmoid(network.blocks[1].attention.convolution(pooled))
    torch.testing.assert_close(attention, expected[0].detach())
    assert default_outputs(build("BlurAttention", attention=False), []) == []


@pytest.mark.parametrize("scale_logits", [False, True])
def test_crosshatch_attention_of_a_pixel(scale_logits: bool):
    network = build("Crosshatch", scale_logits=scale_logits, attention="each")
    seen: list[Tensor] = []
    module = network.body[1]
    nn.init.normal_(module.query.weight)
    nn.init.normal_(module.key.weight)
    hook = module.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    shown = find_outputs(network, ["attention1"], seen_inside(network), "test")
    seen.clear()
    (weights,) = look_inside(network, image(network), shown, Pixel(0.3, 0.8)).outputs
    hook.remove()
    features = seen[0].detach().clone()
    row, column = int(0.3 * 16), int(0.8 * 16)
    query, key = module.query(features)[0].detach(), module.key(features)[0].detach()
    scale = query.shape[0] ** -0.5 if scale_logits else 1.0
    expected = torch.full((16, 16), torch.nan)
    for y in range(16):
        expected[y, column] = scale * query[:, row, column] @ key[:, y, column]
    for x in range(16):
        expected[row, x] = scale * query[:, row, column] @ key[:, row, x]
    down = torch.tensor([scale * query[:, row, column] @ key[:, y, column] for y in range(16)]).softmax(0)
    across = expected[row].softmax(0)
    expected[:, column], expected[row] = down, across
    expected[row, column] = down[row] + across[column]
    torch.testing.assert_close(weights[0], expected, equal_nan=True)
    assert weights.nansum() == pytest.approx(2.0, abs=1e-5), "two softmaxes"
    # what the module adds for this pixel is what the weights say
    nn.init.ones_(module.gamma)
    with torch.no_grad():
        added = (module(features) - features)[0, :, row, column]
        taken = module.value(features)[0]
        by_hand = taken[:, :, column] @ down + taken[:, row] @ across
    torch.testing.assert_close(added, by_hand, rtol=1e-4, atol=1e-4)


def test_attention_of_a_separable_block():
    network = build("DSCNet")
    channel, spatial = network.blocks[0].body[0], network.blocks[0].body[1]
    inputs: list[Tensor] = []
    hook = channel.register_forward_hook(lambda module, given, output: inputs.append(given[0]))
    shown = find_outputs(network, ["M_C1", "M_S1"], seen_inside(network), "test")
    inputs.clear()
    by_channel, by_place = look_inside(network, image(network), shown, Pixel()).outputs
    hook.remove()
    with torch.no_grad():
        features = inputs[0].clone()
        torch.testing.assert_close(features * by_channel, channel(features))
        torch.testing.assert_close(channel(features) * by_place, spatial(channel(features)))
    assert by_channel.shape == (16, 1, 1)
    assert by_place.shape == (1, 16, 16)


def test_structures_and_scales():
    guided = build("StructureGuided")
    names = [output.name for output in default_outputs(guided, seen_inside(guided))]
    assert names == [f"rgcl{n}.{part}" for n in (1, 3) for part in ("horizontal", "vertical", "attention", "structure")]
    assert not default_outputs(build("StructureGuided", path="conv"), [])
    network = build("MADN")
    shown = default_outputs(network, seen_inside(network))
    blurred = image(network)
    inside = look_inside(network, blurred, shown, Pixel())
    with torch.no_grad():
        returned = network(blurred[None])
    assert [output.name for output in shown] == ["X_g", "I1", "I2", "I3"]
    for mine, theirs in zip(inside.outputs, [returned["gradient"], *returned["scales"]], strict=True):
        assert torch.equal(mine, theirs[0])


@pytest.mark.parametrize("name", [name for name in GENERATORS if issubclass(ARCHS.get(name), DeclaresOutputs)])
def test_declared_names_are_plain_and_differ(name: str):
    declared = build(name).inner_outputs()
    names = [output.name for output in declared]
    assert len(names) == len(set(names)) > 0
    assert all(output.words for output in declared)
    assert not {"photo", "restored", "returned"} & set(names)
