"""CONTRIBUTING.md's components, one of a kind and a file each, train and test as plugins."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = re.findall(r"```python\n(\"\"\".*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
OPTIONS = """
name: from_contributing
plugins: [{plugins}]
generator: {{type: HalfNet, channels: 8}}
losses:
  image: {{type: L1Loss}}
  edges: {{type: EdgeLoss, weight: 0.1}}
optimizers: {{generator: {{type: Adam, lr: 1e-3}}}}
datasets:
  train: {{type: NumberedPairs, folder: {folder}, crop: 32, batch_size: 2}}
  val: {{photos: {{type: NumberedPairs, folder: {folder}}}}}
  test: {{photos: {{type: NumberedPairs, folder: {folder}}}}}
train: {{iters: 3, ema: null, checkpoint_every: 3}}
val: {{every: 3, protocol: mean-error-v1}}
logging: {{every: 1, tensorboard: false, curves: false}}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with a plugin file for each example, four pairs, and the option file that names them all."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        sharp = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(photos / f"{number:04d}_sharp.png"), sharp)
        cv2.imwrite(str(photos / f"{number:04d}_blur.png"), cv2.blur(sharp, (5, 1)))
    for number, example in enumerate(EXAMPLES):
        (tmp_path / f"example_{number}.py").write_text(example, encoding="utf-8")
    named = ", ".join(f"./example_{number}.py" for number in range(len(EXAMPLES)))
    (tmp_path / "options.yml").write_text(OPTIONS.format(plugins=named, folder=photos), encoding="utf-8")
    return tmp_path


TRAIN_AND_TEST = """
import deblurkit
options = deblurkit.load_options("options.yml")
work_dir = deblurkit.train(options, "run", device="cpu")
deblurkit.evaluate(options, work_dir / "checkpoints/iter_00000003.pth", protocol="mean-error-v1", device="cpu")
"""


def test_each_kind_is_one_file_with_one_decorator():
    kinds = [re.findall(r"@(\w+)\.register_module", example) for example in EXAMPLES]
    assert sorted(kinds) == [["ARCHS"], ["DATASETS"], ["LOSSES"], ["METRICS"], ["PROTOCOLS"]]


def test_the_examples_train_and_test(written: Path):
    # A process of its own: what it registers must not stay in this one.
    words = [sys.executable, "-c", TRAIN_AND_TEST]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, cwd=written)
    assert done.returncode == 0, done.stderr
    work_dir = written / "run"
    lines = [json.loads(line) for line in (work_dir / "scalars.jsonl").read_text(encoding="utf-8").splitlines()]
    assert any(line.get("term/edges", 0) > 0 for line in lines)
    assert any("val/photos/error" in line for line in lines)
    metrics = json.loads((work_dir / "report/metrics.json").read_text(encoding="utf-8"))
    assert metrics["metrics"]["error"] == {"unit": "levels", "higher_is_better": False}
    assert 0 < metrics["datasets"]["photos"]["restored"]["error"] < 255
    assert "error (levels)" in (work_dir / "report/report.md").read_text(encoding="utf-8")


def test_the_map_shows_rooms_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    house = text.partition("## The house")[2].partition("## Moved names")[0]
    drawn = re.findall(r"(?<![\w/.])(\w+(?:\.py|/))(?=[\s])", house.partition("```\n")[2].partition("```")[0])
    named = re.findall(r"`((?:\w+/)+(?:[a-z_]+\.\w+)?)`", house)
    assert len(drawn) > 25
    assert len(named) > 15
    for place in [*drawn, *named]:
        assert (ROOT / place).exists() or any((ROOT / "deblurkit").rglob(place.rstrip("/"))), place
    top = {file.name for file in (ROOT / "deblurkit").glob("[!_]*.py")}
    assert {each for each in drawn if each.endswith(".py")} <= top
