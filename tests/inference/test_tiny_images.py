"""Images smaller than what a network looks at: each is padded to the least size that the network declares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from shrunk import SHRUNK

from deblurkit.contracts import generator_traits
from deblurkit.inference.forward import pad_to_size
from deblurkit.inference.session import Session
from deblurkit.options.load import load_options
from deblurkit.registry import ARCHS

OPTIONS = Path(__file__).resolve().parents[2] / "options"
FILES = sorted(file for file in OPTIONS.rglob("*.yml") if file.parent.name != "_base_")
TINY = ((1, 1), (3, 7), (7, 3), (1, 64))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(OPTIONS).with_suffix("").as_posix())
def test_generators_of_option_files_take_their_least_size(file: Path) -> None:
    """At their full widths: on the meta device every layer checks its shapes, and none computes."""
    with torch.device("meta"):
        generator = ARCHS.build(load_options(file).generator).eval()
    rule = generator_traits(generator).size_rule
    for height, width in TINY:
        padded = pad_to_size(torch.empty(1, 3, height, width, device="meta"), rule)
        with torch.no_grad():
            outputs = generator(padded)
        image = outputs["image"] if isinstance(outputs, dict) else outputs
        assert image.shape == padded.shape


@pytest.mark.parametrize("encoder", [[4], [4, 6], [4, 6, 8, 10]])
def test_crosshatch_of_any_depth(encoder: list[int]) -> None:
    """Its least size follows from its depth: shallow ones are bounded by the outer layers, deep ones by the inner."""
    arguments = {**SHRUNK["Crosshatch"], "encoder": encoder, "decoder": encoder[-2::-1]}
    session = Session(ARCHS.build({"type": "Crosshatch", **arguments}).eval())
    for height, width in TINY:
        tiny = np.full((height, width, 3), 100, np.uint8)
        assert session.restore_array(tiny).shape == tiny.shape
