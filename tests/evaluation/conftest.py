"""An experiment on real photographs: option file, checkpoint of a tiny network, plugin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from deblurkit import checkpoint
from deblurkit.data.images import write_image
from deblurkit.options.load import load_options

PLUGIN = '''
import os
import time

import torch
from torch import nn

from deblurkit.registry import ARCHS


@ARCHS.register_module()
class EvaluationSharpener(nn.Module):
    """Adds `strength` times what a blur takes away; leaves a mark in the file FORWARDS, and takes PAUSE seconds."""

    size_divisor = 4

    def __init__(self, strength=0.6):
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(float(strength)))

    def forward(self, blurred):
        if "FORWARDS" in os.environ and blurred.device.type != "meta":
            with open(os.environ["FORWARDS"], "a") as file:
                file.write("x")
            time.sleep(float(os.environ.get("PAUSE", "0")))
        smooth = nn.functional.avg_pool2d(nn.functional.pad(blurred, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return blurred + self.strength * (blurred - smooth)
'''

OPTIONS = """
name: sharpener
seed: 3
plugins: [{plugin}]
paper: {{title: A paper, published: {{pairs: {{psnr: 30.18, ssim: 0.9312}}}}}}
generator: {{type: EvaluationSharpener}}
losses: {{image: {{type: L1Loss}}}}
optimizers: {{generator: {{type: Adam, lr: 1e-4}}}}
datasets:
  train: {{type: PairedImages, blurred: "{data}/*/blur", sharp: "{data}/*/sharp"}}
  test:
    pairs: {{type: PairedImages, blurred: "{data}/*/blur", sharp: "{data}/*/sharp"}}
    blind: {{type: BlurredImages, blurred: "{data}/*/blur"}}
train: {{iters: 10}}
"""


@dataclass(frozen=True)
class Experiment:
    """Where an experiment's files lie."""

    options: Path
    plugin: str
    work_dir: Path
    data: Path

    @property
    def best(self) -> Path:
        """The checkpoint with the best score."""
        return self.work_dir / "checkpoints" / "best_psnr.pth"

    def save(self, name: str, strength: float = 0.6, iteration: int = 10, losses: dict | None = None) -> Path:
        """Write a checkpoint as training does."""
        options = load_options(self.options).to_dict()
        options["losses"] = {**options["losses"], **(losses or {})}
        state = {
            "format": checkpoint.FORMAT,
            "generator": {"strength": torch.tensor(0.0)},
            "ema": {"strength": torch.tensor(strength)},
            "position": {"iteration": iteration, "epoch": 0},
            "options": options,
        }
        folder = self.work_dir / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save(state, folder / name)
        return folder / name


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file that registers ``EvaluationSharpener``."""
    file = tmp_path_factory.mktemp("plugin") / "sharpener.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return str(file)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blurred and sharp photographs in GoPro's layout, with file names that repeat."""
    root = tmp_path_factory.mktemp("dätä")
    for name in ("astronaut", "chelsea"):
        image = getattr(skimage.data, name)()
        for number, top in enumerate((0, 60, 120)):
            sharp = np.ascontiguousarray(image[top : top + 61, 100:190])
            for kind, pixels in (("sharp", sharp), ("blur", cv2.GaussianBlur(sharp, (0, 0), 1.0))):
                file = root / name / kind / f"{number:06}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                write_image(file, pixels)
    return root


@pytest.fixture
def experiment(tmp_path: Path, plugin: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """The experiment, with a best checkpoint, in the current directory's ``work_dirs``."""
    monkeypatch.chdir(tmp_path)
    options = tmp_path / "sharpener.yml"
    options.write_text(OPTIONS.format(plugin=plugin, data=data), encoding="utf-8")
    made = Experiment(options, plugin, Path("work_dirs/sharpener"), data)
    made.save("best_psnr.pth")
    return made


@pytest.fixture
def rewrite(experiment: Experiment) -> Callable[[str, str], None]:
    """Replace a text in the option file."""

    def replace(old: str, new: str) -> None:
        text = experiment.options.read_text(encoding="utf-8")
        assert old in text
        experiment.options.write_text(text.replace(old, new), encoding="utf-8")

    return replace
