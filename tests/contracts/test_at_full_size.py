"""Slow: every generator, with its paper's widths, restores a 720p image and learns one pair by heart."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from deblurkit.data.sample import SamplePairs
from deblurkit.inference.forward import to_value_range
from deblurkit.inference.restore import restore
from deblurkit.registry import ARCHS

GENERATORS = [name for name in ARCHS.names() if ARCHS.get(name).__module__.startswith("deblurkit.archs.")]
LEAST_GAIN_DB, MOST_SECONDS = 3.0, 1500

FULL_SIZE = """
import resource, sys, time, torch
from deblurkit import compat
compat.ensure_torchvision()
from deblurkit.registry import ARCHS
from deblurkit.inference.restore import restore
torch.manual_seed(0)
generator = ARCHS.build({"type": sys.argv[1]}).eval()
blurred = torch.rand(1, 3, 720, 1280)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, start = peak(), time.perf_counter()
restored = restore(generator, blurred)
assert restored.shape == blurred.shape and torch.isfinite(restored).all()
print(f"{sys.argv[1]} 720x1280: {peak() - before:.0f} MiB above {before:.0f}, {time.perf_counter() - start:.1f} s")
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATORS)
def test_restores_a_720p_image(name: str):
    done = subprocess.run([sys.executable, "-c", FULL_SIZE, name], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    print(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATORS)
def test_overfits_a_single_pair(name: str):
    """L1 on one 64x64 crop (or the least size that the network takes): at least 3 dB over the blurred input."""
    torch.manual_seed(0)
    generator: nn.Module = ARCHS.build({"type": name})
    side = max(64, getattr(generator, "min_size", 0))
    pair = SamplePairs(split="train").read(0)
    blurred, sharp = (
        torch.from_numpy(pair[key][64 : 64 + side, 64 : 64 + side].copy()).permute(2, 0, 1)[None] / 255.0
        for key in ("blurred", "sharp")
    )
    low, high = generator.value_range
    optimizer = torch.optim.Adam(generator.parameters(), lr=3e-4)
    before, start, updates, gain = psnr(blurred, sharp), time.monotonic(), 0, 0.0
    while gain < LEAST_GAIN_DB and time.monotonic() - start < MOST_SECONDS:
        generator.train()
        for _ in range(10):
            outputs = generator(to_value_range(blurred, (low, high)))
            image = outputs["image"] if isinstance(outputs, dict) else outputs
            loss = (image - to_value_range(sharp, (low, high))).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
        gain = psnr(restore(generator.eval(), blurred), sharp) - before
    print(f"{name}: {before:.2f} dB blurred, {gain:+.2f} dB after {updates} updates")
    assert gain >= LEAST_GAIN_DB


def psnr(image: torch.Tensor, sharp: torch.Tensor) -> float:
    return float(-10 * torch.log10((image - sharp).square().mean()))
