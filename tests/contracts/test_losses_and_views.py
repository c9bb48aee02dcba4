"""What every registered loss and view keeps."""

from __future__ import annotations

import pytest
import torch

from deblurkit.registry import LOSSES
from deblurkit.testing import Traits, contract_tests

ARGUMENTS = {"PerceptualLoss": {"weights": "random", "layer": "conv1_2"}}

test_contracts = contract_tests(
    "deblurkit.losses", arguments=ARGUMENTS, traits={"MultiScaleMSELoss": Traits(takes_lists=True)}
)


@pytest.mark.parametrize("name", ["L1Loss", "MSELoss", "SmoothL1Loss", "PerceptualLoss"])
def test_equal_images_cost_nothing(name: str):
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert LOSSES.build({"type": name, **ARGUMENTS.get(name, {})})(image, image) == 0


def test_equal_scales_cost_nothing():
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert LOSSES.build({"type": "MultiScaleMSELoss"})([image], [image]) == 0
