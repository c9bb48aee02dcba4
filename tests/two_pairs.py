"""An experiment on two pairs of equal images, whose one iteration moves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import skimage.data

from deblurkit.data.images import write_image
from deblurkit.options.load import options_from_dict
from deblurkit.options.schema import Options


def on_two_pairs(folder: Path, generator: dict[str, Any], name: str) -> Options:
    """Writes the pairs to ``folder`` and returns the options of an experiment of that name for the generator."""
    for number in range(2):
        sharp = np.ascontiguousarray(skimage.data.astronaut()[30 * number : 30 * number + 64, 100:164])
        for kind in ("sharp", "blur"):
            (folder / kind).mkdir(exist_ok=True)
            write_image(folder / kind / f"{number}.png", sharp)
    pairs = {"type": "PairedImages", "blurred": str(folder / "blur"), "sharp": str(folder / "sharp")}
    whole = {
        "name": name,
        "generator": generator,
        "losses": {"pixel": {"type": "L1Loss"}},
        "optimizers": {"generator": {"type": "SGD", "lr": 0.0}},
        "datasets": {"train": {**pairs, "crop": 64, "batch_size": 2}, "test": {"pairs": pairs}},
        "train": {"iters": 1, "checkpoint_every": 1},
        "logging": {"tensorboard": False, "curves": False},
    }
    return options_from_dict(whole, "test")
