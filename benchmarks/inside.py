"""Shows in one picture how the five papers' networks see a photograph: thin networks, each trained for some minutes.

A network whose folder holds a checkpoint is not trained again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deblurkit import Deblurrer, cli, load_options, train
from deblurkit.data.images import beside, encode_image, read_image, to_tensor
from deblurkit.files import write_atomically
from deblurkit.inner_outputs import Pixel, find_outputs
from deblurkit.inspection.drawing import Frame, draw_output
from deblurkit.inspection.looking import look_inside, seen_inside

OPTIONS = Path(__file__).resolve().parents[1] / "options" / "quickstart.yml"
QUIET = ("logging.samples=0", "logging.curves=false", "logging.tensorboard=false", "train.ema.decay=0.98")
CELL_PX = (180, 240)  # height and width of one picture at most
GAP_PX = 6
TINY = ("train.iters=2", "datasets.val.sample.limit=1")


@dataclass(frozen=True)
class Row:
    """One network of the picture: how it is trained, and what is shown of it, each output at one place."""

    name: str
    changes: tuple[str, ...]
    shown: tuple[tuple[str, Pixel], ...]


def outputs(*names: str) -> tuple[tuple[str, Pixel], ...]:
    """Returns outputs at the middle."""
    return tuple((name, Pixel()) for name in names)


ROWS = (
    Row(
        "crosshatch",
        (
            "generator={type: Crosshatch, encoder: [12, 24, 48], res_channels: 48, decoder: [24, 12], blocks: 4, "
            "dropout: 0.0, norm: instance}",
            "train.iters=250",
        ),
        tuple(
            ("attention1", place) for place in (Pixel(0.3, 0.25), Pixel(0.43, 0.46), Pixel(0.7, 0.6), Pixel(0.9, 0.3))
        ),
    ),
    Row(
        "structure_guided",
        (
            "generator={type: StructureGuided, channels: [12, 24, 48], gradient_channels: 16, blocks: 4, "
            "global_skip: true}",
            "train.iters=250",
        ),
        outputs("rgcl1.horizontal", "rgcl1.vertical", "rgcl1.structure", "rgcl12.structure"),
    ),
    Row(
        "madn",
        (
            "generator={type: MADN, channels: [8, 16, 24], blocks: 2}",
            "losses.gradient_map={type: L1Loss, weight: 0.5, pred: gradient, target: sobel(sharp)}",
            "losses.scales={type: MultiScaleMSELoss, weight: 1.0, pred: scales, target: pyramid(sharp)}",
            "train.iters=200",
        ),
        outputs("X_g", "I1", "I2", "I3"),
    ),
    Row(
        "bag",
        ("generator={type: BlurAttention, channels: [12, 24, 48], growth: 12}", "train.iters=250"),
        outputs("A1", "A2", "A3", "A4"),
    ),
    Row(
        "dsc",
        ("generator={type: DSCNet, channels: 16, dropout: 0.0}", "train.iters=250"),
        outputs("M_S1", "M_S5", "M_S9", "M_C9"),
    ),
)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", metavar="PHOTO", type=Path, help="a blurred photograph")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="for the trainings and inside.jpg")
    parser.add_argument("--tiny", action="store_true", help="one network, trained for two iterations")
    args = parser.parse_args()
    photo = read_image(args.photo)
    chosen = ROWS
    if args.tiny:
        last = ROWS[-1]
        chosen = (replace(last, changes=(*last.changes, *TINY)),)
    rows = [beside([shrunk(photo), *pictures(row, photo, args.out / row.name)], GAP_PX) for row in chosen]
    whole = beside([row.swapaxes(0, 1) for row in rows], GAP_PX).swapaxes(0, 1)
    picture = encode_image(np.ascontiguousarray(whole), ".jpg", quality=80)
    write_atomically(args.out / "inside.jpg", picture)
    print(args.out / "inside.jpg")


def pictures(row: Row, photo: np.ndarray, folder: Path) -> list[np.ndarray]:
    """Return the pictures of one network, trained where it is not yet."""
    checkpoint = folder / "checkpoints" / "best_psnr.pth"
    if not checkpoint.exists():
        train(load_options(OPTIONS, [f"name={row.name}", *row.changes, *QUIET]), folder, device="cpu")
    generator = Deblurrer(checkpoint, device="cpu").generator
    seen, frame = seen_inside(generator), Frame.of(generator, photo)
    found = []
    for name, place in row.shown:
        output = find_outputs(generator, [name], seen, "--outputs")
        inside = look_inside(generator, to_tensor(photo), output, place)
        found.append(shrunk(draw_output(output[0], inside.outputs[0], frame).picture))
    return found


def shrunk(picture: np.ndarray) -> np.ndarray:
    """Return a picture that fits the cell."""
    height, width = picture.shape[:2]
    share = min(CELL_PX[0] / height, CELL_PX[1] / width)
    return cv2.resize(picture, (round(share * width), round(share * height)), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    cli.run(main)
