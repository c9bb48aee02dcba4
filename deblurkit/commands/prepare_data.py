"""Store a data set so that training reads it fast.

SOURCE is a section of an option file, OPTIONS.yml:train, or a data set as one writes it: '{type: GoPro, ...}'. Its
resize, crop and augment are not applied: they go to the set that reads the stored one. Started again, it goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deblurkit import cli
from deblurkit.commands.arguments import add_plugins
from deblurkit.errors import UserError

EXAMPLE = "deblurkit prepare-data pack --data madn.yml:train --out packed --crop 512"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    commands = parser.add_subparsers(dest="action", required=True)
    for name, summary in (("pack", "write a packed set"), ("lmdb", "write blurred.lmdb and sharp.lmdb")):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--data", required=True, metavar="SOURCE", help="the data set to store")
        command.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write")
        command.add_argument("--crop", type=int, metavar="N", help="side of square crops (default: whole images)")
        command.add_argument("--step", type=int, metavar="N", help="pixels between crops (default: half a crop)")
        command.add_argument("--workers", type=int, metavar="N", help="threads (default: one a core, 8 at most)")
        command.add_argument("--overwrite", action="store_true", help="replace a set of other settings")
        add_plugins(command)
    verify = commands.add_parser("verify", help="compare every pixel of a packed set with its hashes")
    verify.add_argument("path", type=Path, metavar="DIR")


def run(args: argparse.Namespace) -> None:
    """Stores a set, or verifies a stored one."""
    if args.action == "verify":
        from deblurkit.data.packing.packed import verify_hashes

        with cli.progress() as show:
            count = verify_hashes(args.path, show)
        print(f"{args.path}: {count} pairs, all as they were packed")
        return
    from deblurkit.data.loader import build_dataset
    from deblurkit.data.packing.lmdb_pairs import write_lmdb
    from deblurkit.data.packing.writer import pack
    from deblurkit.data.source import find_entry
    from deblurkit.options.schema import Loader

    entry = find_entry(args.data, args.plugin)
    if args.crop is not None and entry.component.get("resize") is not None:  # the set of crops would resize each
        raise UserError("--crop: the source is resized before it is cropped; pack whole images, without --crop")
    source = build_dataset(entry.model_copy(update={"loader": Loader()}), "--data")  # no cache: each is read once
    write = pack if args.action == "pack" else write_lmdb
    with cli.progress() as show:
        written = write(source, args.out, args.crop, args.step, args.workers, args.overwrite, show)
    there = ": already there" if written.found else ""
    print(f"{args.out}{there}: {written.pairs} pairs, {written.bytes / 1e9:.3f} GB", *written.notes, sep="\n")
    # The line for the option file, with what was not applied.
    kept = {key: entry.component[key] for key in ("resize", "crop", "augment") if key in entry.component}
    print("datasets: {train: " + json.dumps({**written.component, **kept}, ensure_ascii=False) + "}")
