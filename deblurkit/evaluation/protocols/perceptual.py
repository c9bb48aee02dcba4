"""How images look: metrics that follow human judgement better than pixel differences do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deblurkit.evaluation.protocols.protocol import Component, Protocol
from deblurkit.registry import PROTOCOLS


@PROTOCOLS.register_module(name="perceptual-v1")
class Perceptual(Protocol):
    """LPIPS, DISTS and NIQE of 8-bit images; lower is better in all. NIQE needs no truth."""

    id = "perceptual-v1"
    version = 1
    description = "LPIPS with two networks, DISTS, and NIQE with its original parameters, of 8-bit images"
    metrics: ClassVar[Mapping[str, Component]] = {
        "lpips_alex": {"type": "LPIPS", "net": "alex", "version": "0.1"},
        "lpips_vgg": {"type": "LPIPS", "net": "vgg", "version": "0.1"},
        "dists": {"type": "DISTS", "net": "vgg"},
        "niqe": {"type": "NIQE"},
    }
    source = "ours: no paper's; the metrics' own papers and packages"


@PROTOCOLS.register_module(name="no-reference-v1")
class NoReference(Protocol):
    """NIQE alone: for photographs of which no true image is known, such as the real ones of Lai et al."""

    id = "no-reference-v1"
    version = 1
    description = "NIQE of 8-bit images: for photographs without truth, which papers compare by eye"
    metrics: ClassVar[Mapping[str, Component]] = {"niqe": {"type": "NIQE"}}
    source = "ours: no paper's; perceptual-v1 less what needs a true image"
