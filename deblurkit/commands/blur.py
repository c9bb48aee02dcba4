"""Make blurred and sharp pairs from photographs or fast video.

The folder gets blurred/, sharp/ and manifest.json. Started again with the same command, it goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deblurkit import cli
from deblurkit.commands.arguments import add_plugins

if TYPE_CHECKING:
    from deblurkit.data.blur.pair_folder import Manifest

EXAMPLE = "deblurkit blur photos holiday/ --out pairs --count 4"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--out", metavar="DIR", type=Path, required=True, help="the folder to write")
    shared.add_argument("--seed", metavar="S", type=int, default=0, help="of everything random")
    commands = parser.add_subparsers(dest="source_kind", required=True)
    what = "average successive frames of a fast camera, as the GoPro set was made; the middle one is the truth"
    add = commands.add_parser("frames", parents=[shared], help=what, description=what).add_argument
    add("sources", metavar="SOURCE", nargs="+", help="folder of frames or of such folders, or a video")
    add("--response", metavar="R", required=True, help="gamma (GoPro), linear, srgb, or a measured curve's file")
    add("--average", metavar="N", nargs="+", type=int, default=[7, 13], help="frames, least and most")
    add("--quantise", default="truncate", choices=("truncate", "round"), help="default: as GoPro's")
    add("--stride", metavar="N", type=int, help="frames between windows' starts; default: no overlap")
    add("--fraction", metavar="F", type=float, default=1.0, help="share of N that is averaged")
    add("--interpolate", metavar="K", type=int, default=0, help="frames between, by optical flow")
    add("--gain", metavar="G", type=float, default=1.0, help="above 1 highlights saturate, in both")
    add("--noise", action="store_true", help="a sensor's, on the blurred image: full well 10000, read-out 3 electrons")
    what = "blur sharp photographs as training can do online: camera shake, moving objects, given kernels"
    photos = commands.add_parser("photos", parents=[shared], help=what, description=what)
    photos.add_argument(
        "source", metavar="SOURCE", help="folder or glob, '{type: SynthesizedBlur, ...}', or OPTIONS.yml:train"
    )
    photos.add_argument("--count", metavar="N", type=int, default=1, help="pairs of each photograph")
    add_plugins(photos)


def run(args: argparse.Namespace) -> None:
    """Makes the pairs, and says what was made."""
    make = average_frames if args.source_kind == "frames" else blur_photographs
    with cli.progress() as show:
        made = make(args, show)
    print(*made.notes, made.in_words(args.out), sep="\n")


def average_frames(args: argparse.Namespace, show: Callable[[str, int, int], None]) -> Manifest:
    """Averages frames, as the GoPro set was made."""
    from deblurkit.data.blur import averaging, camera_response, frame_pairs

    exposure = averaging.Exposure(
        average=averaging.as_average(args.average),
        response=camera_response.response(args.response),
        stride=args.stride,
        fraction=args.fraction,
        interpolate=args.interpolate,
        gain=args.gain,
        noise=args.noise,
        quantise=args.quantise,
        seed=args.seed,
    )
    return frame_pairs.blur_frames(args.sources, args.out, exposure, show)


def blur_photographs(args: argparse.Namespace, show: Callable[[str, int, int], None]) -> Manifest:
    """Blurs photographs; those of a folder by camera shake, with a sensor's noise."""
    from deblurkit.data.blur.photos import blur_photos, by_default
    from deblurkit.data.source import find_entry

    # A data set in braces or of an option file; else a folder or glob, whose name may hold a colon too.
    if args.source.lstrip().startswith("{") or Path(args.source.rpartition(":")[0]).is_file():
        entry = find_entry(args.source, args.plugin)
        return blur_photos(entry.component, args.out, args.count, args.seed, show, entry.limit)
    return blur_photos(by_default(args.source), args.out, args.count, args.seed, show)
