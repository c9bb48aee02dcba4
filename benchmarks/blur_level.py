"""How strong a camera shake must be for the blur of a given level: PSNR of blurred photographs by the shake's extent.

Every photograph is blurred whole by ``Shake`` of each extent (pixels; ``LEAST:GREATEST`` draws between them), with a
little roll and tilt, a sensor's noise and sRGB levels; a photograph's path has the same shape at every fixed extent.
The JSON has the mean and the percentiles of the blurred images' PSNR; the picture shows the same window of a few
photographs at each extent below the sharp one, with its own PSNR. For comparison: the GoPro test set's blurred images
have 25.6 dB on average.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from deblurkit import cli
from deblurkit.data.blur.camera import Camera
from deblurkit.data.blur.pair_folder import make_folder, write_json
from deblurkit.data.blur.sensor import Sensor
from deblurkit.data.blur.shake_blur import Shake
from deblurkit.data.blur.trajectory import TAPS_PX
from deblurkit.data.images import encode_image, read_image
from deblurkit.data.paired import find_images
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.errors import UserError
from deblurkit.files import write_atomically
from deblurkit.metrics.psnr import psnr

NOISE = {"full_well": 10_000, "read_noise": 3}
PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
ROLL, TILT, STEPS = (0.0, 0.6), (0.0, 0.15), 36  # degrees, degrees, and points of a path: alike for every extent
SEED = 0
WINDOW = 160  # side of what the picture shows, in pixels
SHOWN = 4  # photographs in the picture
LETTERS = 18  # height of a line of text, in pixels


class Level(NamedTuple):
    """An extent's blurred images: their PSNR in dB, and the windows that are shown."""

    extent: tuple[float, float]
    scores: list[float]
    windows: list[np.ndarray]


def measure(photographs: Sequence[np.ndarray], extent: tuple[float, float], draws: int) -> Level:
    """Blur every photograph ``draws`` times."""
    level = Level(extent, [], [])
    for number, photograph in enumerate(photographs):
        camera = Camera([shake(extent, photograph.shape[:2])], Sensor("srgb", NOISE))
        for draw in range(draws):
            pair = camera.develop(camera.shoot(photograph, np.random.default_rng([SEED, number, draw])))
            level.scores.append(psnr(pair["blurred"], pair["sharp"]))
            if draw == 0:
                level.windows.append(window(pair["blurred"]))
    return level


def shake(extent: tuple[float, float], size: tuple[int, ...]) -> dict[str, Any]:
    """Return the component of this extent for whole photographs ``(h, w)``, its margin as wide as it must be."""
    arguments = {"extent": extent, "roll": ROLL, "tilt": TILT, "steps": STEPS}
    reach = Shake(extent, ROLL, TILT, margin=0, steps=STEPS).reach((size[0], size[1]))
    return {"type": "Shake", **arguments, "margin": math.ceil(reach) + TAPS_PX}


def window(image: np.ndarray) -> np.ndarray:
    """Cut the middle out of a photograph."""
    top, left = ((side - WINDOW) // 2 for side in image.shape[:2])
    return image[top : top + WINDOW, left : left + WINDOW]


def report(levels: Sequence[Level], source: str, count: int) -> dict[str, Any]:
    """Return what the JSON holds."""
    rows = []
    for extent, scores, _ in levels:
        found = np.percentile(scores, PERCENTILES)
        percentiles = {str(share): round(float(value), 2) for share, value in zip(PERCENTILES, found, strict=True)}
        spread = {"mean": round(float(np.mean(scores)), 2), "deviation": round(float(np.std(scores)), 2)}
        rows.append({"extent_px": list(extent), "images": len(scores), **spread, "percentiles": percentiles})
    model = {"type": "Shake", "roll": ROLL, "tilt": TILT, "steps": STEPS, "noise": NOISE, "response": "srgb"}
    return {"photographs": source, "count": count, "model": model, "seed": SEED, "blurred_psnr_db": rows}


def contact_sheet(photographs: Sequence[np.ndarray], levels: Sequence[Level]) -> np.ndarray:
    """Draw the sharp windows above the blurred ones, a row for each extent."""
    chosen = range(0, len(photographs), math.ceil(len(photographs) / SHOWN))
    sharp = [window(photographs[number]) for number in chosen]
    rows = [labelled(sharp, ["sharp"] + [""] * (len(sharp) - 1))]
    for level in levels:
        images = [level.windows[number] for number in chosen]
        texts = [f"{psnr(image, truth):.1f} dB" for image, truth in zip(images, sharp, strict=True)]
        least, greatest = level.extent
        extent = f"{least:g}" if least == greatest else f"{least:g} to {greatest:g}"
        texts[0] = f"{extent} px: {texts[0]}"
        rows.append(labelled(images, texts))
    return np.concatenate(rows)


def labelled(images: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
    """Put images side by side, each under its line of text."""
    row = np.full((WINDOW + LETTERS, WINDOW * len(images), 3), 255, dtype=np.uint8)
    for number, (image, text) in enumerate(zip(images, texts, strict=True)):
        left = number * WINDOW
        row[LETTERS:, left : left + WINDOW] = image
        cv2.putText(row, text, (left + 3, LETTERS - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return row


def read_photographs(pattern: str | None) -> Iterator[np.ndarray]:
    """Yield the photographs that are large enough, by default those of the sample set."""
    found = [path for _, path in find_images(pattern)] if pattern else [photograph_file(one) for one in PHOTOGRAPHS]
    for path in found:
        image = read_image(path)
        if min(image.shape[:2]) >= WINDOW:
            yield image


def extent_range(text: str) -> tuple[float, float]:
    """Read ``8`` or ``4:12``."""
    least, _, greatest = text.partition(":")
    try:
        extent = float(least), float(greatest or least)
    except ValueError:
        extent = math.nan, math.nan
    if not 0 <= extent[0] <= extent[1] < math.inf:
        raise argparse.ArgumentTypeError(f"came {text!r}, expected pixels: 8, or LEAST:GREATEST such as 4:12")
    return extent


def positive(text: str) -> int:
    """Read a number of images."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"came {text!r}, expected a whole number from 1 on")
    return int(text)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", nargs="?", help="folder or glob; default: those that scikit-image bundles")
    parser.add_argument(
        "--extents", nargs="+", type=extent_range, default=[(e, e) for e in (2.0, 4.0, 8.0, 16.0, 24.0)]
    )
    parser.add_argument("--draws", type=positive, default=1, help="blurred images of each photograph")
    parser.add_argument("--limit", type=positive, help="photographs at most, evenly taken")
    parser.add_argument("--tiny", action="store_true", help="two small extents of one photograph")
    parser.add_argument("--out", required=True, help="PATH of PATH.json and PATH.jpg")
    args = parser.parse_args()
    if args.tiny:
        args.extents, args.draws, args.limit = [(2.0, 2.0), (2.0, 4.0)], 1, 1
    return args


def main() -> None:
    """Measure, write both files and print the table."""
    args = parse()
    make_folder(Path(args.out).parent)
    photographs = list(read_photographs(args.photographs))
    if not photographs:
        raise UserError(f"{args.photographs}: no photograph of at least {WINDOW} pixels is there")
    if args.limit:
        photographs = photographs[:: math.ceil(len(photographs) / args.limit)]
    levels = []
    with cli.progress() as show:
        for done, extent in enumerate(args.extents, start=1):
            levels.append(measure(photographs, extent, args.draws))
            show("extents", done, len(args.extents))
    source = "the sample set's, from scikit-image" if args.photographs is None else Path(args.photographs).name
    found = report(levels, source, len(photographs))
    write_json(Path(f"{args.out}.json"), found)
    picture = encode_image(contact_sheet(photographs, levels), ".jpg", quality=80)
    write_atomically(Path(f"{args.out}.jpg"), picture)
    for row in found["blurred_psnr_db"]:
        print(row["extent_px"], row["mean"], "+-", row["deviation"], row["percentiles"])


if __name__ == "__main__":
    cli.run(main)
