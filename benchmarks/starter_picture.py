"""Draws blurred, restored and sharp parts of validation photographs, and names whom they are to be credited to.

    python benchmarks/starter_picture.py REPORT --out docs/images/starter.jpg

``REPORT`` is the folder that ``deblurkit test -opt starter --weights starter`` wrote. Shown are the photographs with
the greatest and the median gain in PSNR under shake like GoPro's, and a failure: the one that lost most under shake
beyond the network's reach. Of each it is the window with the most detail.
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
        rows = list(csv.DictReader(file))
    deblurrer, sets = Deblurrer(args.weights), load_options("starter").datasets.test
    shown = []
    for dataset, place in (("shake", 1.0), ("shake", 0.5), ("strong", 0.0)):
        gains = {}
        for row in rows:
            if row["dataset"] == dataset:
                gains[row["image"]] = float(row["psnr_restored"]) - float(row["psnr_blurred"])
        key = sorted(gains, key=gains.__getitem__)[round(place * (len(gains) - 1))]
        pairs = build_dataset(sets[dataset], f"datasets.test.{dataset}")
        pair = pairs.read(pairs.keys().index(key))
        window = most_detailed(pair["sharp"], WINDOW)
        parts = (pair["blurred"], deblurrer(pair["blurred"]), pair["sharp"])
        shown.append(beside([part[window] for part in parts], GAP_PX))
        print(f"{dataset}, {key}: gain {gains[key]:+.2f} dB")
    print("credits: docs/photographs.md")
    gap = np.full((GAP_PX, shown[0].shape[1], 3), 255, np.uint8)
    picture = np.concatenate([shown[0], gap, shown[1], gap, shown[2]])
    write_atomically(args.out, encode_image(picture, ".jpg", quality=85))


if __name__ == "__main__":
    cli.run(lambda: main(sys.argv[1:]))
