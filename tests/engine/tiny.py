"""The tiny experiment that the tests change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TINY: dict[str, Any] = {
    "name": "tiny",
    "seed": 3,
    "generator": {"type": "FilterBankUNet", "channels": [4, 4], "blocks": 1, "filters": 2, "taps": 5},
    "losses": {"image": {"type": "L1Loss"}},
    "optimizers": {
        "generator": {"type": "Adam", "lr": 1e-3},
        "discriminators": {"type": "Adam", "lr": 1e-3, "betas": [0.5, 0.9]},
    },
    "train": {"iters": 4},
    "logging": {"every": 1, "tensorboard": False, "samples": 0, "curves": False},
}
CRITIC = {"type": "PatchDiscriminator", "channels": 4, "layers": 2}
WGAN_GP: dict[str, Any] = {
    "generator": {"type": "DeblurGAN", "channels": 4, "blocks": 1},
    "discriminators": {"critic": CRITIC},
    "losses": {
        "adversarial": {
            "type": "AdversarialLoss",
            "mode": "wgan",
            "critic": "critic",
            "gradient_penalty": {"weight": 10},
        }
    },
}
"""A game in which dropout and the penalty draw random numbers in every step."""


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as option files do, but for ``type``: a component given is taken whole."""
    result = dict(base)
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both and "type" not in value else value
    return result
