"""Time networks in PyTorch, onnxruntime, OpenVINO and OpenCV on this machine.

A checkpoint runs in PyTorch, and exported to ONNX in the others; an ONNX file in the others alone. All restore the same
images in turn, with as many threads each, on the CPU. The table has the fastest first, and how near the images of each
come to PyTorch's, or, without a checkpoint of the network, to the first file's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deblurkit import cli
from deblurkit.commands.arguments import add_key, add_plugins

EXAMPLE = "deblurkit bench starter madn.pth madn-half.onnx --size 720x1280"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    add("weights", metavar="FILE", nargs="+", help="what --weights takes elsewhere, such as starter, or an ONNX file")
    add_key(parser)
    help = "images to restore; default: three photographs that scikit-image ships"
    add("--input", metavar="IMAGE", type=Path, nargs="+", default=[], help=help)
    help = "to which they are cut, or mirrored on (default: %(default)s)"
    add("--size", metavar="HxW", default="720x1280", help=help)
    add("--rounds", type=int, metavar="N", default=5, help="how often each image is timed (default: %(default)s)")
    add("--bf16", action="store_true", help="also in bf16, where a runtime can be asked for it")
    add_plugins(parser)
    add("--markdown", metavar="FILE", help="write the table there too; an older file is replaced")
    add("--json", metavar="FILE", help="write all figures there; an older file is replaced")


def run(args: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    if args.rounds < 1:
        raise cli.UsageError(f"--rounds: got {args.rounds}, expected 1 or more")
    import torch

    from deblurkit.evaluation.cost import parse_size
    from deblurkit.evaluation.provenance import environment
    from deblurkit.exporting.bench import Bench, images_of
    from deblurkit.report import costs, runtimes
    from deblurkit.report.tables import as_text

    costs.check_targets(args.markdown, args.json)
    images = images_of(*parse_size(args.size), args.input)
    with Bench(images, ("fp32", "bf16") if args.bf16 else ("fp32",)) as bench, cli.progress() as show:
        for weights in args.weights:
            bench.add(weights, args.plugin, args.key)
        measured = bench.measure(args.rounds, show)
    where = environment(torch.device("cpu"), "see the table") | {"images": len(images), "rounds": args.rounds}
    table = runtimes.table(measured, args.size)
    print(as_text(table))
    for note in bench.notes:
        print(note)
    print(runtimes.HOW)
    costs.write(args.markdown, runtimes.markdown(table, bench.notes, where))
    costs.write(args.json, runtimes.as_json(measured, bench.notes, where))
