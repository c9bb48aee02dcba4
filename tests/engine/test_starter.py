"""The recipe of the network in the box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from runs import checkpoint_of, run

from deblurkit.data.images import write_image


@pytest.mark.parametrize("iterations", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_the_recipe_gives_the_same_weights_bit_by_bit(iterations: int, tmp_path: Path) -> None:
    for split, photographs in {
        "train": [skimage.data.astronaut(), skimage.data.chelsea()],
        "val": [skimage.data.coffee()],
    }.items():
        (tmp_path / "photographs" / split).mkdir(parents=True)
        for number, photograph in enumerate(photographs):
            write_image(tmp_path / "photographs" / split / f"{number}.png", np.ascontiguousarray(photograph))
    weights = []
    for name in ("one", "other"):
        settings = [
            f"datasets.train.sharp={tmp_path}/photographs/train",
            f"datasets.val.shake.sharp={tmp_path}/photographs/val",
            "datasets.train.batch_size=2",
            f"train.iters={iterations}",
            f"train.checkpoint_every={iterations}",
            f"val.every={10 * iterations}",
        ]
        work_dir = tmp_path / name
        run(tmp_path / f"{name}.txt", "-opt", "starter", "--work-dir", work_dir, "--device", "cpu", "--set", *settings)
        weights.append(checkpoint_of(work_dir, iterations)["generator"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert weights[0]["tail.weight"].any()  # it starts at zero
