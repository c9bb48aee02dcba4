"""Check blurred and sharp images before training.

Finds what is wrong with their pairing, damaged files, swaps, shifts, blur in sharp images and duplicates.

Exit code: 0 usable, there may be warnings; 2 training would refuse the images, or a mistake in what was given.
"""

from __future__ import annotations

import argparse

from deblurkit import cli
from deblurkit.commands.arguments import add_option_file, add_plugins

EXAMPLE = "deblurkit check-data photos/ --out check"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="find blur, sharp, input, target ... folders in it")
    add_option_file(parser, "all of its data sets are checked")
    parser.add_argument("--data", metavar="SOURCE", help="OPTIONS.yml:train, OPTIONS.yml:test.NAME, or '{type: NAME}'")
    parser.add_argument("--blurred", metavar="P", help="folder or glob of blurred images; give --sharp too")
    parser.add_argument("--sharp", metavar="P", help="folder or glob of sharp images")
    parser.add_argument("--against", metavar="SOURCE", help="another set, as --data names it: look for its images too")
    add_plugins(parser)
    parser.add_argument("--out", metavar="DIR", help="write check.json, contact_sheet.jpg and datasets.yml there")
    parser.add_argument("--jobs", type=int, metavar="N", help="threads; default: one for each core")


def run(args: argparse.Namespace) -> None:
    """Checks the images, and says what was found."""
    if bool(args.blurred) != bool(args.sharp):
        raise cli.UsageError("give both --blurred and --sharp")
    if sum(map(bool, (args.folder, args.opt, args.data, args.blurred))) != 1:
        raise cli.UsageError("give one of FOLDER, -opt, --data, and --blurred with --sharp")
    from deblurkit.data.checking import check, discover, summary
    from deblurkit.errors import UserError
    from deblurkit.options.load import load_options

    if args.opt:
        sets = discover.from_options(load_options(args.opt))
    elif args.data:
        sets = [discover.from_source(args.data, args.plugin)]
    elif args.folder:
        sets = discover.from_folder(args.folder)
    else:
        component = {"type": "PairedImages", "blurred": args.blurred, "sharp": args.sharp}
        sets = [discover.from_component("pairs", "train", component)]
    against = discover.from_source(args.against, args.plugin, "against") if args.against else None
    with cli.progress() as show:
        report = check.check_sets(sets, against=against, out=args.out, jobs=args.jobs, progress=show)
    print(summary.summary(report), flush=True)  # before the faults, which go to standard error
    faults = report.faults()
    if faults:
        raise UserError(*faults)
