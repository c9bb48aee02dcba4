"""What every registered transform keeps to."""

from __future__ import annotations

from deblurkit.testing import Traits, contract_tests

test_contracts = contract_tests(
    "deblurkit.data",
    kinds=["transform"],
    arguments={  # that are needed, or make these tests see more
        "Resize": {"size": [40, 56]},
        "RandomCrop": {"size": [32, 48]},
        "RandomResizedCrop": {"size": [32, 48], "scale": [0.5, 2.0]},
        "RandomRotatedCrop": {"size": [32, 48], "degrees": 25},
        "CameraShake": {"extent": [2.0, 5.0], "margin": 6, "steps": 4},
        "ColourJitter": {"shuffle": True},
        "CutBlur": {"probability": 1.0},
        "Mixup": {"probability": 1.0},
    },
    traits={
        "Resize": Traits(without_chance=True),
        "CameraShake": Traits(adds_blur=True, eight_bits_only=True, needs_sharp=True),
        "CutBlur": Traits(needs_sharp=True, without_chance=True),
    },
)
