"""What test conditions do to the blurred input itself: its scores as whole images, squeezed to a square, and cropped.

A network that changes nothing has these scores: published ones of squeezed images have them to begin with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from deblurkit import cli
from deblurkit.data.paired import PairedImages
from deblurkit.evaluation.protocols.protocol import Protocol, get_protocol

SIDE = 256


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blurred", metavar="DIR", required=True, help="folder or glob of blurred images")
    parser.add_argument("--sharp", metavar="DIR", required=True, help="the same of the sharp ones")
    parser.add_argument("--protocol", metavar="ID", default="gopro-basicsr-v1", help="how to score")
    parser.add_argument("--tiny", action="store_true", help="the first image alone")
    return parser.parse_args(words)


def scores(dataset: Any, protocol: Protocol, count: int) -> list[dict[str, float]]:
    """Return the scores of the first ``count`` blurred images, each drawn as testing draws it."""
    found = []
    for index in range(count):
        sample = dataset.sample(index, np.random.default_rng((0, 0, index)))
        blurred, sharp = (protocol.quantise(sample[side]) for side in ("blurred", "sharp"))
        found.append(protocol.score(blurred, [sharp]).scores)
    return found


def main() -> None:
    """Print a table in Markdown."""
    args = parse()
    protocol = get_protocol(args.protocol, "--protocol")
    conditions: dict[str, dict[str, int]] = {"whole": {}, "resized": {"resize": SIDE}, "cropped": {"crop": SIDE}}
    sets = {name: PairedImages(args.blurred, args.sharp, **changed) for name, changed in conditions.items()}
    keys = list(sets["whole"].keys())[: 1 if args.tiny else None]
    found = {name: scores(dataset, protocol, len(keys)) for name, dataset in sets.items()}
    columns = [f"{metric} {name}" for metric in protocol.metrics for name in conditions]
    print(f"Blurred input, {protocol.id}; resized and cropped to {SIDE} x {SIDE}.\n")
    print(f"| image | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for index, key in enumerate(keys):
        cells = [f"{found[name][index][metric]:.4g}" for metric in protocol.metrics for name in conditions]
        print(f"| {key} | {' | '.join(cells)} |")


if __name__ == "__main__":
    cli.run(main)
