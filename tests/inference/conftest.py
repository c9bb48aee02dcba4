"""A checkpoint of a tiny network from a plugin file, as training writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deblurkit import checkpoint

PLUGIN = '''
import torch
from torch import nn

from deblurkit.registry import ARCHS


@ARCHS.register_module()
class InferenceSharpener(nn.Module):
    """Adds `strength` times what a blur takes away; works on blocks of 4 pixels in [-1, 1]."""

    value_range = (-1.0, 1.0)
    size_divisor = 4

    def __init__(self, strength=0.5):
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(float(strength)))

    def forward(self, blurred):
        if blurred.shape[-1] % 4 or blurred.shape[-2] % 4:
            raise ValueError(f"sides must divide by 4, came {tuple(blurred.shape)}")
        smooth = nn.functional.avg_pool2d(nn.functional.pad(blurred, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return {"image": blurred + self.strength * (blurred - smooth)}
'''


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file that registers ``InferenceSharpener``."""
    file = tmp_path_factory.mktemp("plugin") / "sharpener.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return str(file)


@pytest.fixture
def weights(tmp_path: Path, plugin: str) -> Path:
    """A checkpoint whose averaged weights do something and whose raw ones do nothing."""
    state = {
        "format": checkpoint.FORMAT,
        "generator": {"strength": torch.tensor(0.0)},
        "ema": {"strength": torch.tensor(0.5)},
        "position": {"iteration": 7, "epoch": 0},
        "options": {"name": "sharpener", "generator": {"type": "InferenceSharpener"}, "plugins": [plugin]},
    }
    path = tmp_path / "sharpener.pth"
    checkpoint.save(state, path)
    return path
