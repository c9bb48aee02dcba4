"""Damaged checkpoints under a training that is to take them up: it goes on, or ends in words."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from limits import Tally, fuzz, untouched
from mutations import ODD_VALUES, changed_tree, odd_tensors

from deblurkit import checkpoint, load_options, train
from deblurkit.data.images import write_image

CASES = int(os.environ.get("DEBLURKIT_CASES", "1000")) // 2
OPTIONS: dict[str, Any] = {
    "name": "resumed",
    "generator": {"type": "FilterBankUNet", "channels": [4, 4], "blocks": 1, "filters": 2, "taps": 5},
    "discriminators": {"critic": {"type": "PatchDiscriminator", "channels": 2, "layers": 1}},
    "losses": {
        "image": {"type": "L1Loss"},
        "game": {"type": "AdversarialLoss", "mode": "ralsgan", "critic": "critic", "pool": 4, "weight": 0.01},
    },
    "optimizers": {"generator": {"type": "AdamW", "lr": 1e-3}, "discriminators": {"type": "SGD", "lr": 1e-3}},
    "schedulers": [{"type": "PolyLR", "eta_min": 1e-5}],
    "train": {"iters": 4, "checkpoint_every": 2, "ema": {"decay": 0.9}},
    "val": {"every": 2},
    "logging": {"every": 1, "tensorboard": False, "samples": 0, "curves": False},
}


class Room:
    """A run that stopped after two iterations, taken up with what the cases make of its checkpoint."""

    def __init__(self, root: Path) -> None:
        self.root = root
        pairs = {"type": "PairedImages", "blurred": str(root / "blur"), "sharp": str(root / "sharp")}
        for number in range(4):
            sharp = np.ascontiguousarray(skimage.data.astronaut()[30 * number : 30 * number + 32, 100:132])
            for kind, pixels in (("sharp", sharp), ("blur", cv2.GaussianBlur(sharp, (0, 0), 1.5))):
                (root / kind).mkdir(exist_ok=True)
                write_image(root / kind / f"{number:03}.png", pixels)
        sets = {"train": {**pairs, "batch_size": 2}, "val": {"pairs": {**pairs, "limit": 1}}}
        (root / "options.yml").write_text(json.dumps({**OPTIONS, "datasets": sets}), encoding="utf-8")
        self.options = load_options(root / "options.yml")
        self.run = root / "run"
        train(load_options(root / "options.yml", ["train.iters=2"]), self.run, device="cpu")
        self.state = torch.load(self.run / "checkpoints" / "iter_00000002.pth", weights_only=True)
        self.whole = root / "whole"
        self.run.rename(self.whole)
        self.tally = Tally()
        self.ended = 0

    def attempt(self, content: bytes) -> None:
        """Go on with a checkpoint."""
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.copytree(self.whole, self.run)
        file = self.run / "checkpoints" / "iter_00000002.pth"
        file.write_bytes(content)
        with untouched(self.root, self.run):
            done = self.tally.attempt(lambda: train(self.options, self.run, resume=file, device="cpu"))
        if done is not None:
            self.ended += checkpoint.load(self.run / "checkpoints" / "iter_00000004.pth") is not None


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    root = tmp_path_factory.mktemp("resumed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        made = Room(root)
        yield made
        print(f"\n{made.ended} trainings went on to their end; {made.tally}")


@pytest.mark.slow
@fuzz(CASES)
@given(data=st.data())
def test_damaged_states_are_taken_up_or_refused(room: Room, data: Any) -> None:
    part = data.draw(st.sampled_from(sorted(set(room.state) - {"format"})))
    changed = data.draw(changed_tree({part: room.state[part]}, ODD_VALUES + odd_tensors()))
    written = io.BytesIO()
    torch.save({**room.state, **changed} if isinstance(changed, dict) else changed, written)
    room.attempt(written.getvalue())
