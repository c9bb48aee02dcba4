"""``benchmarks/input_gain.py``: what test conditions do to the blurred input, on photographs blurred here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from deblurkit.data.images import write_image

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "input_gain.py"


def test_squeezing_raises_the_blurred_input(tmp_path: Path) -> None:
    sharp = np.ascontiguousarray(skimage.data.coffee())
    for side, pixels in (("sharp", sharp), ("blurred", cv2.blur(sharp, (15, 1)))):
        (tmp_path / side).mkdir()
        write_image(tmp_path / side / "coffee.png", pixels)
    command = [sys.executable, str(SCRIPT), "--blurred", str(tmp_path / "blurred"), "--sharp", str(tmp_path / "sharp")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1]
    assert row.startswith("| coffee | ")
    whole, resized, cropped = (float(cell) for cell in row.split("|")[2:5])
    assert resized > whole + 1
    assert cropped != whole
