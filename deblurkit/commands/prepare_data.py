"""Store a data set so that training reads it fast, or gather photographs to train on.

SOURCE is a section of an option file, OPTIONS.yml:train, or a data set as one writes it: '{type: GoPro, ...}'. Its
resize, crop and augment are not applied: they go to the set that reads the stored one. Started again, it goes on.

`photographs` gathers the freely licensed photographs that the networks in the box are trained on. It downloads the
packages that carry them, with apt-get and pip, unless --packages names a folder that holds their archives.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from deblurkit import cli
from deblurkit.commands.arguments import add_plugins
from deblurkit.errors import UserError
from deblurkit.files import user_cache

_KEPT = ("resize", "crop", "augment", "repeat", "weight")  # they go to the set that reads the stored one
_TOLERATED = 0.05  # share of the photographs that may lack: a newer package may have lost a few

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
    photographs = commands.add_parser("photographs", help="gather the photographs that the networks in the box learned")
    photographs.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write")
    archives = "the folder with the packages' .deb and .whl files; nothing is downloaded"
    photographs.add_argument("--packages", type=Path, metavar="DIR", help=archives)
    verify = commands.add_parser("verify", help="compare every pixel of a packed set with its hashes")
    verify.add_argument("path", type=Path, metavar="DIR")


def run(args: argparse.Namespace) -> None:
    """Stores a set, verifies a stored one, or gathers photographs."""
    if args.action == "photographs":
        _gather_photographs(args.out, args.packages)
        return
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
    said = {key: value for key, value in entry.to_dict().items() if key in _KEPT}
    line = json.dumps({**written.component, **said}, ensure_ascii=False)
    number = args.data.rpartition(":train.")[2]  # of one of several training sets
    print(f"datasets.train.{number}: {line}" if number.isdecimal() else f"datasets: {{train: {line}}}")


def _gather_photographs(out: Path, archives: Path | None) -> None:
    from deblurkit.data.starter.archives import download
    from deblurkit.data.starter.gather import gather
    from deblurkit.data.starter.table import read_packages, read_photographs

    photographs, packages = read_photographs(), read_packages()
    if archives is None:
        archives = user_cache() / "packages"
        download(packages, archives, lambda line: print(line, flush=True))
    elif not archives.is_dir():
        raise UserError(f"--packages: {archives} is no folder; expected one that holds .deb and .whl files")
    with cli.progress() as show:
        gathered = gather(photographs, packages, archives, out, show)
    print(f"{out}: {gathered.made} photographs made, {gathered.there} already there, of {len(photographs)}")
    if gathered.other:
        print(f"{len(gathered.other)} of them have other pixels than the table's: {_few(gathered.other)}")
    problems = []
    for package, lacking in gathered.lacking.items():
        problems.append(f"{package}: {len(lacking)} photographs are lacking: {_few(lacking)}")
    if sum(map(len, gathered.lacking.values())) > _TOLERATED * len(photographs):
        raise UserError(*problems)
    for problem in problems:
        print(problem)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
