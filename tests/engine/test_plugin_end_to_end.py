"""A generator, a loss and a critic from a file outside the package: trained, tested and asked for by the checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ROOT, checkpoint_of, records

PLUGIN = '''
from pathlib import Path

import torch
from torch import nn

from deblurkit.registry import ARCHS, DISCRIMINATORS, LOSSES

with open(Path(__file__).with_name("imported.txt"), "a") as marker:
    marker.write("once\\n")


@ARCHS.register_module()
class Zweibild(nn.Module):
    """Two outputs: the image, and its gradient."""

    def __init__(self, channels=4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 6, 3, padding=1))

    def forward(self, blurred):
        image, gradient = self.body(blurred).chunk(2, dim=1)
        return {"image": blurred + image, "gradient": gradient}


@LOSSES.register_module()
class Viertelfehler(nn.Module):
    def forward(self, pred, target):
        return ((pred - target) ** 2).mean() / 4


@DISCRIMINATORS.register_module()
class Kritiker(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3)

    def forward(self, image):
        return [self.conv(image), self.conv(image[..., ::2, ::2])]
'''

OPTIONS = """
name: auswärts
plugins: [./netze/mein netz.py]
generator: {type: Zweibild}
discriminators: {kritik: {type: Kritiker}}
losses:
  image:    {type: L1Loss}
  gradient: {type: Viertelfehler, weight: 0.5, pred: gradient, target: sobel(sharp)}
  game:     {type: AdversarialLoss, mode: lsgan, critic: kritik, weight: 0.01}
optimizers: {generator: {type: Adam, lr: 1e-3}, discriminators: {type: Adam, lr: 1e-3}}
datasets:
  train: DATA
  test: {paare: DATA}
train: {iters: 20, ema: {decay: 0.9}}
logging: {every: 5, tensorboard: false, curves: false}
"""


@pytest.fixture
def outside(tmp_path: Path, pairs: dict) -> Path:
    """A folder with spaces and umlauts, the option file and the plugin in it."""
    folder = tmp_path / "Größe und mehr"
    (folder / "netze").mkdir(parents=True)
    (folder / "netze" / "mein netz.py").write_text(PLUGIN, encoding="utf-8")
    text = OPTIONS
    for data in (pairs, {key: pairs[key] for key in ("type", "blurred", "sharp")}):
        text = text.replace("DATA", json.dumps(data), 1)
    (folder / "versuch.yml").write_text(text, encoding="utf-8")
    return folder


def tool(name: str, cwd: Path, *arguments: object, code: int = 0) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "tools" / name), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def test_plugin_trains_and_tests_from_another_folder(tmp_path: Path, outside: Path):
    elsewhere = tmp_path / "anderswo"
    elsewhere.mkdir()
    tool("train.py", elsewhere, "-opt", outside / "versuch.yml", "--device", "cpu")
    folder = elsewhere / "work_dirs" / "auswärts"
    assert [record["iteration"] for record in records(folder)] == [1, 5, 10, 15, 20]
    assert {"term/image", "term/gradient", "term/game", "critic/kritik", "grad/gradient"} <= records(folder)[-1].keys()
    plugin = outside / "netze" / "mein netz.py"
    assert checkpoint_of(folder, 20)["options"]["plugins"] == [str(plugin)]

    weights = folder / "checkpoints" / "iter_00000020.pth"
    marker = plugin.with_name("imported.txt")
    assert marker.read_text() == "once\n"
    refused = tool("test.py", elsewhere, "--weights", weights, "--device", "cpu", code=2)
    assert "Zweibild" in refused
    assert str(plugin) in refused
    assert "--plugin" in refused
    assert "Traceback" not in refused
    assert marker.read_text() == "once\n", "a checkpoint's plugin is never imported"

    out = elsewhere / "bericht"
    tool("test.py", elsewhere, "--weights", weights, "--plugin", plugin, "--out", out, "--device", "cpu")
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["datasets"]["paare"]["images"] == 8
    assert metrics["weights"]["iteration"] == 20
