"""Draws blurred, restored and sharp parts of validation photographs, and names whom they are to be credited to.

    python benchmarks/starter_picture.py REPORT --out docs/images/starter.jpg

``REPORT`` is the folder that ``deblurkit test -opt starter --weights starter --dataset shake`` wrote. Shown are the
photographs with the greatest, the median and the smallest gain in PSNR; of each the window with the most detail.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rival_page import most_detailed

from deblurkit import Deblurrer, cli, load_options
from deblurkit.data.images import beside, encode_image
from deblurkit.data.loader import build_dataset
from deblurkit.files import write_atomically

WINDOW = (240, 320)  # height and width
GAP_PX = 6


def main(words: Sequence[str]) -> None:
    """Draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", metavar="REPORT", type=Path)
    parser.add_argument("--weights", metavar="CKPT", default="starter")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True)
    args = parser.parse_args(words)
    with open(args.report / "per_image.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == "shake"]
    gains = {row["image"]: float(row["psnr_restored"]) - float(row["psnr_blurred"]) for row in rows}
    ordered = sorted(gains, key=gains.__getitem__, reverse=True)
    pairs = build_dataset(load_options("starter").datasets.test["shake"], "datasets.test.shake")
    deblurrer = Deblurrer(args.weights)
    shown = []
    for key in (ordered[0], ordered[len(ordered) // 2], ordered[-1]):
        pair = pairs.read(pairs.keys().index(key))
        window = most_detailed(pair["sharp"], WINDOW)
        parts = (pair["blurred"], deblurrer(pair["blurred"]), pair["sharp"])
        shown.append(beside([part[window] for part in parts], GAP_PX))
        print(f"{key}: gain {gains[key]:+.2f} dB")
    print("credits: docs/photographs.md")
    gap = np.full((GAP_PX, shown[0].shape[1], 3), 255, np.uint8)
    picture = np.concatenate([shown[0], gap, shown[1], gap, shown[2]])
    write_atomically(args.out, encode_image(picture, ".jpg", quality=85))


if __name__ == "__main__":
    cli.run(lambda: main(sys.argv[1:]))
