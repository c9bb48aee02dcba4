"""How far each generator says that it looks is what NaN in one half of a strip shows."""

from __future__ import annotations

from typing import Any

import pytest
from shrunk import SHRUNK

from deblurkit.contracts import generator_traits
from deblurkit.inference.receptive_field import reach
from deblurkit.registry import ARCHS

GENERATORS = [name for name in ARCHS.names() if ARCHS.get(name).__module__.startswith("deblurkit.archs.")]
BATCH = {"norm": "batch", "attention": "none", "res_channels": 4}
LOCAL: list[tuple[str, dict[str, Any]]] = [
    *[("MADN", {"channels": [2, 2, 2], "blocks": n, "fusion": f}) for n in (1, 2, 3, 4) for f in ("full", "light")],
    ("MADN", {"channels": [2, 2, 2], "blocks": 1, "nested": True}),
    *[("Crosshatch", {**BATCH, "encoder": [2, 4], "decoder": [2], "blocks": n}) for n in (0, 1, 9)],
    ("Crosshatch", {**BATCH, "encoder": [2, 4, 4], "decoder": [2, 2], "blocks": 3, "convs_per_block": 1}),
    ("Crosshatch", {**BATCH, "encoder": [2, 4, 4, 4], "decoder": [2, 2, 2], "blocks": 1, "block_order": "pre"}),
    ("ResidualUNet", {}),
    ("ResidualUNet", {"channels": [4], "encoder_blocks": [2], "decoder_blocks": []}),
    ("ResidualUNet", {"channels": [4, 6], "encoder_blocks": [1, 2], "decoder_blocks": [3]}),
    ("DeblurGANv2", {"encoder": "mobilenet_v2", "channels": 4, "decoder_norm": "batch"}),
    ("DeblurGANv2", {"encoder": "mobilenet_v2", "channels": 8, "decoder_norm": "batch", "top_down_convs": False}),
]
SLOW = [
    ("DeblurGANv2", {"encoder": "densenet121", "channels": 4}),
    ("DeblurGANv2", {"encoder": "inception_resnet_v2", "channels": 4, "decoder_norm": "batch"}),
]
GLOBAL: list[tuple[str, dict[str, Any]]] = [
    *[(name, SHRUNK.get(name, {})) for name in GENERATORS if name not in ("MADN", "ResidualUNet")],
    ("BlurAttention", {**SHRUNK["BlurAttention"], "norm": "batch"}),
    ("Crosshatch", {**BATCH, "encoder": [2, 4], "decoder": [2], "blocks": 1, "norm": "instance"}),
    ("Crosshatch", {**BATCH, "encoder": [2, 4], "decoder": [2], "blocks": 1, "attention": "each", "reduction": 1}),
    ("DeblurGANv2", {"encoder": "mobilenet_v2", "channels": 4, "decoder_norm": "batch", "encoder_norm": "image"}),
    ("StructureGuided", {**SHRUNK["StructureGuided"], "gradient_net": False}),
]
UNSAID: list[tuple[str, dict[str, Any]]] = [
    ("Crosshatch", {**BATCH, "encoder": [2, 4], "decoder": [2], "blocks": 1, "upsample": "deconv"}),
    ("Crosshatch", {**BATCH, "encoder": [2], "decoder": [], "blocks": 1}),
    ("DSCNet", {"channels": 16, "blocks": 0}),
    ("NAFNet", {"width": 2, "encoder_blocks": [0, 0], "middle_blocks": 0, "decoder_blocks": [0, 0]}),
]


def declared_and_measured(name: str, arguments: dict[str, Any]) -> tuple[object, int | None]:
    generator = ARCHS.get(name)(**arguments).eval()
    return generator_traits(generator).receptive_field, reach(generator, size=4096)


@pytest.mark.parametrize(("name", "arguments"), LOCAL)
def test_a_local_generator_declares_its_pixels(name: str, arguments: dict[str, Any]):
    declared, measured = declared_and_measured(name, arguments)
    assert isinstance(measured, int)
    assert declared == measured


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments"), SLOW)
def test_large_encoders_too(name: str, arguments: dict[str, Any]):
    test_a_local_generator_declares_its_pixels(name, arguments)


@pytest.mark.parametrize(("name", "arguments"), GLOBAL)
def test_a_global_generator_says_so(name: str, arguments: dict[str, Any]):
    assert declared_and_measured(name, arguments) == ("global", None)


def test_every_generator_is_among_them():
    assert {name for name, _ in (*LOCAL, *GLOBAL)} == set(GENERATORS)
    for name in GENERATORS:
        assert generator_traits(ARCHS.get(name)(**SHRUNK.get(name, {}))).receptive_field is not None


@pytest.mark.parametrize(("name", "arguments"), UNSAID)
def test_what_is_not_said_is_measured(name: str, arguments: dict[str, Any]):
    declared, measured = declared_and_measured(name, arguments)
    assert declared is None
    assert isinstance(measured, int)
