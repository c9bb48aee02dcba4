"""Trains the network in the box, its five parts one after the other.

    OMP_NUM_THREADS=1 python benchmarks/starter.py --work-dir work_dirs/starter

Each part starts with the averaged weights of the one before. What has ended is not repeated, and an interrupted part
goes on from its newest state, so that the same command serves any number of sittings. ``--set`` goes to every part.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deblurkit import cli
from deblurkit.engine.work_dir import WorkDir
from deblurkit.errors import UserError
from deblurkit.options.load import load_options

PARTS = ("starter_1", "starter_2", "starter_3", "starter_4", "starter")


def main(words: Sequence[str]) -> None:
    """Trains what is still to be trained, and names the checkpoint to export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", metavar="DIR", type=Path, default=Path("work_dirs/starter"))
    parser.add_argument("--device", metavar="D", default="cpu")
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="+", default=[], dest="settings")
    args = parser.parse_args(words)
    weights: Path | None = None
    for part in PARTS:
        folder = WorkDir(args.work_dir / part)
        ended = folder.iteration_file(load_options(part, args.settings).train.iters)
        if not ended.is_file():
            command = ["train", "-opt", part, "--work-dir", str(folder.path), "--device", args.device]
            if folder.saved():
                command += ["--resume"]
            else:
                command += ["--overwrite"] if folder.path.is_dir() else []
                command += ["--init-from", str(weights)] if weights else []
            if args.settings:
                command += ["--set", *args.settings]
            result = subprocess.run([sys.executable, "-m", "deblurkit", *command])
            if result.returncode or not ended.is_file():
                raise UserError(f"{folder.path}: {part} did not end; the same command goes on with it")
        weights = ended
    print(f"trained: {weights}")


if __name__ == "__main__":
    cli.run(lambda: main(sys.argv[1:]))
