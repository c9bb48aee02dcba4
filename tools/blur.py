"""Make pairs of blurred and sharp images, for training and for tests."""

from __future__ import annotations

import argparse
from pathlib import Path

from deblurkit import cli


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    frames = commands.add_parser(
        "frames",
        help="average successive frames of a fast camera, as the GoPro set was made",
        description="Average successive frames of a fast camera; the truth is the one in the middle.",
    )
    frames.add_argument("sources", metavar="SOURCE", nargs="+", help="folder of frames or of such folders, or a video")
    frames.add_argument("--out", metavar="DIR", required=True, help="gets blurred/ sharp/ manifest.json; resumable")
    frames.add_argument(
        "--response", metavar="R", required=True, help="gamma (GoPro), linear, srgb, or the file of a measured curve"
    )
    frames.add_argument("--average", metavar="N", nargs="+", type=int, default=[7, 13], help="frames, least and most")
    frames.add_argument("--quantise", default="truncate", choices=("truncate", "round"), help="default: as GoPro's")
    frames.add_argument("--stride", metavar="N", type=int, help="frames between windows' starts; default: no overlap")
    frames.add_argument("--fraction", metavar="F", type=float, default=1.0, help="share of N that is averaged")
    frames.add_argument("--interpolate", metavar="K", type=int, default=0, help="frames between, by optical flow")
    frames.add_argument("--gain", metavar="G", type=float, default=1.0, help="above 1 highlights saturate, in both")
    frames.add_argument("--noise", action="store_true", help="add a sensor's noise to the blurred image")
    frames.add_argument("--seed", metavar="S", type=int, default=0, help="of the windows' lengths and the noise")
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    args = parse()
    from deblurkit.data.blur import averaging, frame_pairs, light, pair_folder  # heavy: once the arguments are right

    average, response = averaging.as_average(args.average), light.response(args.response)
    drawn = (average, args.stride, args.fraction, args.interpolate)
    exposure = averaging.Exposure(response, *drawn, args.gain, args.noise, args.quantise, args.seed)
    with cli.progress() as show:
        made = frame_pairs.blur_frames(args.sources, Path(args.out), exposure, show)
    print("\n".join([*made["notes"], pair_folder.in_words(made, args.out)]))


if __name__ == "__main__":
    cli.run(main)
