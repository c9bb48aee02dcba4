"""What every registered generator and critic keeps; a new one is tested by being registered."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from shrunk import SHRUNK

from deblurkit.registry import ARCHS, DISCRIMINATORS
from deblurkit.testing import Traits, contract_tests
from deblurkit.testing.networks import leaves

BUILT_IN = ("deblurkit.archs.", "deblurkit.discriminators.")
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


TRAITS = {
    name: Traits(small=SHRUNK.get(name, {}), without_effect=WITHOUT_EFFECT.get(name, {}))
    for name in {*SHRUNK, *WITHOUT_EFFECT}
}

test_contracts = contract_tests(
    "deblurkit.archs", traits={name: traits for name, traits in TRAITS.items() if name in GENERATORS}
)
test_contracts_of_critics = contract_tests(
    "deblurkit.discriminators", traits={name: traits for name, traits in TRAITS.items() if name in CRITICS}
)


@pytest.mark.parametrize(("name", "arguments", "count"), PARAMETERS)
def test_parameter_count(name: str, arguments: dict[str, Any], count: int):
    registry = ARCHS if name in GENERATORS else DISCRIMINATORS
    with torch.device("meta"):
        network = registry.build({"type": name, **arguments})
        assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("name", GENERATORS)
def test_range_is_declared_and_a_size_that_does_not_divide_is_named(name: str):
    """More than a plugin must do."""
    generator = ARCHS.build({"type": name, **SHRUNK.get(name, {})})
    assert generator.value_range
    if getattr(generator, "size_divisor", 1) > 1:
        with pytest.raises(ValueError, match="165x167"):
            generator(torch.rand(1, 3, 165, 167))


@pytest.mark.parametrize("name", CRITICS)
def test_critic_takes_spectral_norm_and_a_condition(name: str):
    arguments = {**SHRUNK.get(name, {}), "in_channels": 6, "spectral_norm": True}
    critic = DISCRIMINATORS.build({"type": name, **arguments})
    assert all(torch.isfinite(item).all() for item in leaves(critic(torch.rand(2, 6, 64, 64))))
    assert any("parametrizations" in key for key in critic.state_dict())
