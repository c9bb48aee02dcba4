"""Arguments that make the built-in networks small enough to train in a test; one without an entry is small already."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

_FOLDER = tempfile.TemporaryDirectory(prefix="deblurkit-")  # removed when the process ends


def _foreign_weights() -> str:
    """A file of the smallest network that spandrel recognises: DnCNN of eight convolutions."""
    draw = torch.Generator().manual_seed(0)
    widths = [3, *[4] * 7, 3]
    weights = {}
    for place in range(8):
        narrow, wide = widths[place], widths[place + 1]
        weights[f"model.{2 * place}.weight"] = 0.1 * torch.randn(wide, narrow, 3, 3, generator=draw)
        weights[f"model.{2 * place}.bias"] = torch.zeros(wide)
    file = Path(_FOLDER.name, "dncnn.pth")
    torch.save(weights, file)
    return str(file)


SHRUNK: dict[str, dict[str, Any]] = {
    "DeblurGAN": {"channels": 4, "blocks": 2},
    "BlurAttention": {"channels": [4, 6, 8], "growth": 4, "modules": 2, "layers": 2},
    "DSCNet": {"channels": 4, "blocks": 1, "reduction": 4},
    "NAFNet": {"width": 4, "encoder_blocks": [1, 2], "middle_blocks": 1, "decoder_blocks": [2, 1]},
    "Crosshatch": {"encoder": [4, 8, 16], "res_channels": 16, "blocks": 1, "decoder": [8, 4]},
    "FlattenDiscriminator": {"channels": 4, "hidden": 8},
    "DoubleScaleDiscriminator": {"channels": 4},
    "DeblurGANv2": {"encoder": "mobilenet_v2", "channels": 8, "encoder_weights": None},
    "MADN": {"channels": [4, 6, 8], "blocks": 1},
    "MADNDiscriminator": {"channels": [2, 3, 3, 4, 5], "hidden": 6},
    "StructureGuided": {"channels": [4, 8, 16], "gradient_channels": 8, "blocks": 1, "reduction": 1},
    "FilterBankUNet": {"channels": [4, 4], "blocks": 1, "filters": 2, "taps": 5},
    "ResidualUNet": {"channels": [4, 6], "encoder_blocks": [1, 2], "decoder_blocks": [1]},
    "PatchDiscriminator": {"channels": 4, "layers": 2},
    "Foreign": {"weights": _foreign_weights()},
}
