"""Arguments that make the built-in networks small enough to train in a test; a network without an entry is small."""

from __future__ import annotations

from typing import Any

SHRUNK: dict[str, dict[str, Any]] = {
    "DeblurGAN": {"channels": 4, "blocks": 2},
    "BlurAttention": {"channels": [4, 6, 8], "growth": 4, "modules": 2, "layers": 2},
    "MADN": {"channels": [4, 6, 8], "blocks": 1},
    "MADNDiscriminator": {"channels": [2, 3, 3, 4, 5], "hidden": 6},
    "FilterBankUNet": {"channels": [4, 4], "blocks": 1, "filters": 2, "taps": 5},
    "PatchDiscriminator": {"channels": 4, "layers": 2},
}
