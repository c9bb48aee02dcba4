"""How far protocols move the number: the same restored images scored by every protocol that scores images.

Each ``--set NAME=DIR`` is a folder with ``blurred/``, ``restored/`` and ``sharp/``, the same names in each. All
registered protocols score it through the code of ``deblurkit score``; those that have a network restore in training
mode, and those whose metrics need weights that are nowhere to be had, are named as left out. Prints a Markdown table;
the JSON has all decimals.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from deblurkit import cli
from deblurkit.data.blur.pair_folder import write_json
from deblurkit.data.paired import find_images
from deblurkit.errors import UserError
from deblurkit.evaluation.evaluate import Settings, score_folders
from deblurkit.evaluation.protocols.protocol import find_protocol
from deblurkit.evaluation.provenance import environment
from deblurkit.registry import PROTOCOLS
from deblurkit.report.tables import Scale

SIDES = ("blurred", "restored")
TINY = ("gopro-basicsr-v1", "kohler-official-v1")  # protocols of a trial: one true image each, and many
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Scores by one protocol: by set, side and metric."""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", metavar="NAME=DIR", nargs="+", required=True, dest="sets")
    parser.add_argument("--backbone", metavar="NET=FILE", nargs="+", default=[], help="for metrics that are networks")
    parser.add_argument("--tiny", action="store_true", help=f"by {' and '.join(TINY)} alone")
    parser.add_argument("--out", metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    sets = dict(text.split("=", 1) for text in args.sets)
    backbones = dict(text.split("=", 1) for text in args.backbone)
    scored: dict[str, Scores] = {}
    left_out: dict[str, str] = {}
    for protocol in TINY if args.tiny else PROTOCOLS.names():
        try:
            scored[protocol] = {name: score(protocol, Path(folder), backbones) for name, folder in sets.items()}
        except UserError as error:
            left_out[protocol] = "; ".join(error.problems)
    print(*table(scored), *(f"left out: {name}: {why}" for name, why in left_out.items()), sep="\n")
    if args.out:
        content = {"environment": environment(torch.device("cpu"), ""), "scores": scored, "left_out": left_out}
        write_json(Path(args.out), content)


def score(protocol: str, folder: Path, backbones: Mapping[str, str]) -> dict[str, Mapping[str, float]]:
    """Return a set's scores by side and metric."""
    with tempfile.TemporaryDirectory() as scratch:
        sharp = folder / "sharp"
        if find_protocol(protocol, "protocol").all_truths:
            sharp = _one_truth_each(sharp, Path(scratch, "truths"))
        settings = Settings(protocol=protocol, out=Path(scratch, "report"), device="cpu", backbones=backbones)
        report = score_folders([folder / "restored"], settings, sharp=str(sharp), blurred=str(folder / "blurred"))
    (entry,) = report.candidates[0].to_json()["datasets"].values()
    return {side: entry[side] or {} for side in SIDES}


def table(scored: Mapping[str, Scores]) -> list[str]:
    """Return the lines of the table: a row for each protocol and metric, two columns for each set."""
    names = list(next(iter(scored.values()), {}))
    titles = [f"{name}, {side}" for name in names for side in SIDES]
    lines = [f"| protocol | metric | {' | '.join(titles)} |", "| --- | --- |" + " ---: |" * len(titles)]
    for protocol, sets in scored.items():
        for metric in dict.fromkeys(metric for sides in sets.values() for metric in sides["restored"]):
            cells = [Scale(metric).write(sets[name][side].get(metric)) for name in names for side in SIDES]
            lines.append(f"| `{protocol}` | {metric} | {' | '.join(cells)} |")
    return lines


def _one_truth_each(sharp: Path, folder: Path) -> Path:
    """Return a folder that has, for each sharp image, a folder of its name with it."""
    for key, file in find_images(str(sharp)):
        place = folder / key
        place.mkdir(parents=True)
        (place / file.name).symlink_to(file.resolve())
    return folder


if __name__ == "__main__":
    cli.run(main)
