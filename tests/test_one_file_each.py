"""One file is enough for a component of any kind: an option file names the files, and a run uses all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

FILES = {
    "generator": """
from torch import nn
from deblurkit.registry import ARCHS

@ARCHS.register_module()
class LoneNet(nn.Module):
    def __init__(self, channels: int = 3):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)

    def forward(self, blurred):
        return blurred + self.conv(blurred)
""",
    "discriminator": """
from torch import nn
from deblurkit.registry import DISCRIMINATORS

@DISCRIMINATORS.register_module()
class LoneCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 4, stride=2)

    def forward(self, image):
        return self.conv(image)
""",
    "loss": """
from torch import nn
from deblurkit.registry import LOSSES

@LOSSES.register_module()
class LoneLoss(nn.Module):
    def forward(self, pred, target):
        return (pred - target).abs().mean()
""",
    "view": """
from deblurkit.registry import VIEWS

@VIEWS.register_module()
def lone_view(image):
    return image.flip(-1)
""",
    "dataset": """
import numpy as np
from deblurkit.data.dataset import Pairs
from deblurkit.registry import DATASETS

@DATASETS.register_module()
class LonePairs(Pairs):
    def keys(self):
        return ["first", "second"]

    def size(self, index):
        return 48, 64

    def load(self, index):
        sharp = np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)
        return {"blurred": np.roll(sharp, 1, axis=1), "sharp": sharp, "key": self.keys()[index]}
""",
    "transform": """
from pathlib import Path
from deblurkit.registry import TRANSFORMS

@TRANSFORMS.register_module()
class LoneTransform:
    def __init__(self, note: str):
        self.note = note

    def __call__(self, pair, rng):
        Path(self.note).write_text("transformed")
        return pair
""",
    "blur": """
import numpy as np
from deblurkit.registry import BLURS

@BLURS.register_module()
class LoneBlur:
    margin = 1

    def draw(self, size, rng):
        return {"share": np.asarray(rng.random())}

    def expose(self, linear, drawn):
        return linear + drawn["share"] * (np.roll(linear, 1, axis=1) - linear), linear
""",
    "metric": """
from deblurkit.registry import METRICS

@METRICS.register_module()
class LoneMetric:
    higher_is_better = False

    def __call__(self, restored, sharp):
        return 0.25
""",
    "protocol": """
from deblurkit.evaluation.protocols.protocol import Protocol
from deblurkit.registry import PROTOCOLS

@PROTOCOLS.register_module(name="lone-v1")
class LoneProtocol(Protocol):
    id = "lone-v1"
    version = 1
    description = "A score of one file, beside the PSNR."
    metrics = {"psnr": {"type": "PSNR"}, "lone": {"type": "LoneMetric"}}
""",
}

OPTIONS = """
name: lone
plugins: [PLUGINS]
generator: {type: LoneNet, channels: 3}
discriminators: {critic: {type: LoneCritic}}
losses:
  image: {type: LoneLoss}
  view:  {type: L1Loss, pred: lone_view(image), target: lone_view(sharp)}
  game:  {type: AdversarialLoss, mode: lsgan, critic: critic, weight: 0.01}
optimizers: {generator: {type: Adam, lr: 1e-3}, discriminators: {type: Adam, lr: 1e-3}}
datasets:
  train: {type: LonePairs, crop: 32, augment: [{type: LoneTransform, note: NOTE}]}
  val:   {made: {type: SynthesizedBlur, sharp: PHOTOS, blur: [{type: LoneBlur, share: 2}]}}
  test:  {pairs: {type: LonePairs}}
train: {iters: 2}
val: {every: 2, protocol: lone-v1}
logging: {every: 1, tensorboard: false, samples: 0, curves: false}
"""

# In a process of its own: what it registers stays registered.
RUN = """
import json, sys
from deblurkit import evaluate, load_options, train
options = load_options(sys.argv[1])
folder = train(options, sys.argv[2], device="cpu")
print(json.dumps(evaluate(options, work_dir=folder, device="cpu")["datasets"]["pairs"]["restored"]))
"""


def test_one_file_for_each_kind(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "one.png"), np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    for kind, source in FILES.items():
        (tmp_path / f"{kind}.py").write_text(source)
    text = OPTIONS.replace("PLUGINS", ", ".join(f"{kind}.py" for kind in FILES))
    text = text.replace("NOTE", str(tmp_path / "note.txt")).replace("PHOTOS", str(photos))
    (tmp_path / "lone.yml").write_text(text)

    command = [sys.executable, "-c", RUN, "lone.yml", "run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    scores = json.loads(done.stdout.splitlines()[-1])
    assert scores["lone"] == 0.25
    assert scores["psnr"] > 0
    assert (tmp_path / "note.txt").read_text() == "transformed"
    records = [json.loads(line) for line in (tmp_path / "run" / "scalars.jsonl").read_text().splitlines()]
    assert [record["val/made/lone"] for record in records if "val/made/lone" in record] == [0.25]


def test_each_kind_is_among_them() -> None:
    from deblurkit.registry import REGISTRIES

    assert set(FILES) == set(REGISTRIES) - {"restorer"}, "one of a plugin is in tests/engine/resumed_options.py"
