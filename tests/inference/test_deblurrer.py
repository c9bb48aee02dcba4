"""A checkpoint as a function of one photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

from deblurkit import Deblurrer, checkpoint
from deblurkit.errors import UserError
from deblurkit.inference.forward import NonFiniteOutputError


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_type_and_size_stay(weights: Path, plugin: str, dtype: type) -> None:
    image = skimage.data.chelsea()[:61, :90].astype(dtype) * (1 if dtype is np.uint8 else 257)
    restored = Deblurrer(weights, [plugin], "cpu")(image)
    assert restored.dtype == dtype
    assert restored.shape == image.shape
    assert not np.array_equal(restored, image)


def test_averaged_weights_are_used(weights: Path, plugin: str) -> None:
    deblurrer = Deblurrer(weights, [plugin], "cpu")
    assert deblurrer.generator.strength.item() == 0.5
    assert not deblurrer.generator.training
    assert deblurrer.source == {"name": "sharpener", "file": str(weights), "iteration": 7, "ema": True}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_survives_a_network_that_does_nothing(weights: Path, plugin: str, dtype: type) -> None:
    deblurrer = Deblurrer(weights, [plugin], "cpu")
    torch.nn.init.zeros_(deblurrer.generator.strength)
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1, 1).repeat(3, axis=2)
    assert np.array_equal(deblurrer(levels), levels)


def test_mistakes_are_named(weights: Path, plugin: str) -> None:
    deblurrer = Deblurrer(weights, [plugin], "cpu")
    with pytest.raises(ValueError, match=r"this one has \(8, 9\); a grey one: np.stack"):
        deblurrer(np.zeros((8, 9), np.uint8))
    with pytest.raises(ValueError, match=r"this one has \(8, 9, 4\)"):
        deblurrer(np.zeros((8, 9, 4), np.uint8))
    with pytest.raises(ValueError, match="this one is float64"):
        deblurrer(np.zeros((8, 9, 3)))
    with pytest.raises(UserError, match="precision: 'half' is unknown"):
        Deblurrer(weights, [plugin], "cpu", "half")
    with pytest.raises(UserError, match="inference: 'tile:30' is no inference mode: expected tile:SIZE,OVERLAP"):
        Deblurrer(weights, [plugin], "cpu", inference="tile:30")
    with pytest.raises(UserError, match="memory: a photograph takes more than 0 GiB, got 0"):
        Deblurrer(weights, [plugin], "cpu", memory=0)
    with pytest.raises(UserError, match="device: 'abacus' cannot be used"):
        Deblurrer(weights, [plugin], "abacus")
    with pytest.raises(UserError, match="there is no such checkpoint"):
        Deblurrer(weights.parent / "none.pth", [plugin], "cpu")


def test_weights_gone_wrong(weights: Path, plugin: str) -> None:
    state = checkpoint.read(weights)
    state["ema"]["strength"] = torch.tensor(float("nan"))
    checkpoint.save(state, weights)
    with pytest.raises(NonFiniteOutputError, match="InferenceSharpener returned pixels that are NaN"):
        Deblurrer(weights, [plugin], "cpu")(skimage.data.coffee()[:16, :16])
