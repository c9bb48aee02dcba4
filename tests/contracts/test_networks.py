"""What every registered generator and critic keeps; a new one is tested by being registered."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from shrunk import SHRUNK
from torch import Tensor, nn

from deblurkit.inference.restore import pad_to_divisor, restore
from deblurkit.registry import ARCHS, DISCRIMINATORS

BUILT_IN = "deblurkit."
GENERATORS = [name for name in ARCHS.names() if ARCHS.get(name).__module__.startswith(BUILT_IN)]
CRITICS = [name for name in DISCRIMINATORS.names() if DISCRIMINATORS.get(name).__module__.startswith(BUILT_IN)]
PARAMETERS = [
    ("DeblurGAN", {}, 11_378_179),
    ("Crosshatch", {}, 11_470_916),
    ("StructureGuided", {}, 2_596_855),
    ("MADN", {}, 29_624_457),
    ("BlurAttention", {}, 8_245_071),
    ("DSCNet", {}, 3_124_213),
    ("NAFNet", {}, 17_111_907),
    ("NAFNet", {"width": 64}, 67_888_835),
    ("DeblurGANv2", {"encoder": "mobilenet_v2"}, 2_106_627),
    ("DeblurGANv2", {"encoder": "inception_resnet_v2"}, 35_840_099),
    ("DeblurGANv2", {"encoder": "densenet121"}, 10_118_275),
    ("PatchDiscriminator", {}, 2_764_737),
    ("FlattenDiscriminator", {}, 3_096_450),
    ("MADNDiscriminator", {}, 4_827_332),
    ("DoubleScaleDiscriminator", {}, 13_919_106),
]
WITHOUT_EFFECT: dict[str, dict[str, str]] = {  # generator or critic: pattern of its biases, and why they cannot matter
    "DeblurGAN": {r"encoder\.(1|4|7)\.bias|blocks\.\d+\.body\.(1|6)\.bias|decoder\.(0|3)\.bias": "before a norm"},
    "BlurAttention": {
        r"encoder\.[147]\.bias|decoder\.[03]\.bias|blocks\.\d+\.unit\.(layers\.\d+|fusion)\.0\.bias": "before a norm"
    },
    "StructureGuided": {r"encoder\.(0\.1|[12]\.0)\.bias|decoder\.[01]\.0\.1\.bias": "before a norm"},
    "Crosshatch": {
        r"encoder\.(1|4|7)\.bias|body\.\d+\.body\.(1|6)\.bias|decoder\.(0|3)\.1\.bias": "before a norm",
        r"body\.\d+\.key\.bias": "adds the same to every logit of a softmax",
    },
    "DeblurGANv2": {
        r"top_down\.\d\.0\.bias|smooth2?\.0\.bias": "before a norm",
        r"encoder\.1[123]\.conv\.3\.bias": "only a 1x1 convolution and a norm follow",
    },
    "DoubleScaleDiscriminator": {r"patch\.body\.(2|5|8)\.bias|full\.body\.(2|5|8|11|14)\.bias": "before a norm"},
    "FlattenDiscriminator": {r"body\.(2|5|8|12)\.bias": "before a norm"},
    "PatchDiscriminator": {r"body\.(2|5|8)\.bias": "before a norm"},
}


def build(name: str, arguments: dict[str, Any] | None = None) -> nn.Module:
    torch.manual_seed(0)
    registry = ARCHS if name in GENERATORS else DISCRIMINATORS
    return registry.build({"type": name, **(arguments or {})})


def picture(network: nn.Module, side: int = 64) -> Tensor:
    """An image in [0, 1], as large as the network asks for."""
    side = max(side, getattr(network, "min_size", 0))
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))


def leaves(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)


@pytest.fixture(scope="module", params=[*GENERATORS, *CRITICS])
def network(request: pytest.FixtureRequest) -> nn.Module:
    """A network with its paper's defaults."""
    return build(request.param)


@pytest.fixture(scope="module", params=GENERATORS)
def generator(request: pytest.FixtureRequest) -> nn.Module:
    return build(request.param)


@pytest.fixture(scope="module", params=CRITICS)
def critic(request: pytest.FixtureRequest) -> nn.Module:
    return build(request.param)


@pytest.mark.parametrize("name", [*GENERATORS, *CRITICS])
def test_constructor_names_its_arguments(name: str):
    component = (ARCHS if name in GENERATORS else DISCRIMINATORS).get(name)
    parameters = inspect.signature(component.__init__).parameters.values()
    assert not [p.name for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert all(p.default is not p.empty for p in list(parameters)[1:]), (
        "built with no arguments it is the paper's network"
    )


@pytest.mark.parametrize(("name", "arguments", "count"), PARAMETERS)
def test_parameter_count(name: str, arguments: dict[str, Any], count: int):
    with torch.device("meta"):
        assert sum(p.numel() for p in build(name, arguments).parameters()) == count


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (33, 47)])
def test_restores_any_size(generator: nn.Module, size: tuple[int, int]):
    blurred = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))
    restored = restore(generator.eval(), blurred)
    assert restored.shape == blurred.shape
    assert torch.isfinite(restored).all()
    assert 0 <= restored.min() <= restored.max() <= 1


def test_refuses_or_takes_sizes_it_does_not_divide(generator: nn.Module):
    odd = torch.rand(1, 3, 165, 167)
    if getattr(generator, "size_divisor", 1) > 1:
        with pytest.raises(ValueError, match="165x167"):
            generator.eval()(odd)
    else:
        assert next(leaves(generator.eval()(odd))).shape[-2:] == (165, 167)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_are_finite(network: nn.Module, dtype: torch.dtype):
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        assert all(torch.isfinite(output.float()).all() for output in leaves(network(picture(network))))


def test_gradient_is_finite_for_every_parameter(network: nn.Module):
    gradients = gradients_of(network.train())
    assert not [name for name, gradient in gradients.items() if gradient is None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


@pytest.mark.parametrize("name", [*GENERATORS, *CRITICS])
def test_every_parameter_matters(name: str):
    """In double precision, with scales that start at zero set to one, only the listed biases have no gradient."""
    network = build(name, SHRUNK.get(name)).double().train()
    with torch.no_grad():
        for key, weight in network.named_parameters():
            if not key.endswith("bias") and not weight.any():
                weight.fill_(1.0)
    gradients = gradients_of(network)
    largest = max(gradient.abs().max().item() for gradient in gradients.values())
    dead = [key for key, gradient in gradients.items() if gradient.abs().max().item() < 1e-12 * largest]
    patterns = WITHOUT_EFFECT.get(name, {})
    unexplained = [key for key in dead if not any(re.fullmatch(pattern, key) for pattern in patterns)]
    assert not unexplained
    assert all("bias" in key for key in dead)
    stale = [pattern for pattern in patterns if not any(re.fullmatch(pattern, key) for key in dead)]
    assert not stale, "listed as without effect, but they have one"


def gradients_of(network: nn.Module) -> dict[str, Tensor | None]:
    """The gradients of a random sum of all outputs, then cleared."""
    network.zero_grad()
    torch.manual_seed(0)
    dtype = next(network.parameters()).dtype
    outputs = list(leaves(network(picture(network).to(dtype).expand(2, -1, -1, -1) * 0.8 + 0.1)))
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    network.zero_grad()
    return gradients


def test_state_round_trip(network: nn.Module):
    other = copy.deepcopy(network)
    with torch.no_grad():
        for weight in other.parameters():
            weight.normal_()
    other.load_state_dict(network.state_dict())
    image = picture(network)
    with torch.no_grad():
        for one, two in zip(leaves(network.eval()(image)), leaves(other.eval()(image)), strict=True):
            assert torch.equal(one, two)


def test_evaluation_is_deterministic_and_ignores_the_neighbours(network: nn.Module):
    network.eval()
    image = picture(network)
    torch.manual_seed(0)
    neighbour = 10 * torch.rand_like(image)
    with torch.no_grad():
        alone, again = list(leaves(network(image))), list(leaves(network(image)))
        together = list(leaves(network(torch.cat([image, neighbour]))))
    for first, second, both in zip(alone, again, together, strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(both[:1], first, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("side", [64, 96, 256])
def test_critic_judges_any_crop(critic: nn.Module, side: int):
    with torch.no_grad():
        logits = list(leaves(critic(torch.rand(1, 3, side, side))))
    assert all(torch.isfinite(item).all() and item.shape[0] == 1 for item in logits)


def test_critic_returns_raw_logits(critic: nn.Module):
    """Large weights in the last layer give large logits: there is no sigmoid behind them."""
    large = copy.deepcopy(critic)
    with torch.no_grad():
        for weight in list(large.parameters())[-2:]:
            weight.mul_(1e4).add_(1e3)
        assert max(item.abs().max() for item in leaves(large(torch.rand(1, 3, 64, 64)))) > 1


@pytest.mark.parametrize("name", CRITICS)
def test_critic_takes_spectral_norm_and_a_condition(name: str):
    arguments = {**SHRUNK.get(name, {}), "in_channels": 6, "spectral_norm": True}
    critic = build(name, arguments)
    assert all(torch.isfinite(item).all() for item in leaves(critic(torch.rand(2, 6, 64, 64))))
    assert any("parametrizations" in key for key in critic.state_dict())


def test_value_range_and_divisor_are_declared(generator: nn.Module):
    assert tuple(generator.value_range) in ((0.0, 1.0), (-1.0, 1.0))
    divisor = getattr(generator, "size_divisor", 1)
    assert pad_to_divisor(torch.rand(1, 3, 33, 47), divisor).shape[-1] % divisor == 0
