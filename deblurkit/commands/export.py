"""Write a trained network in a format that others read.

safetensors holds the weights and all that is needed to build the network again: every command that takes a checkpoint
takes such a file. onnx and pt2 hold the network itself, for images of any size, with padding and value range inside;
onnxruntime and others run the first, also deblurkit's own commands, PyTorch alone the second. Both are compared with
PyTorch at five sizes before they are written. --bundle writes a folder to hand on: both kinds of file, a model card
with a citation, an entry for OpenModelDB, and an example that needs onnxruntime alone. Averaged weights (EMA) are taken
where there are any.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deblurkit import cli
from deblurkit.commands.arguments import add_plugins, add_weights
from deblurkit.errors import UserError

EXAMPLE = "deblurkit export --weights work_dirs/madn/checkpoints/best_psnr.pth --to onnx --out madn.onnx"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    add_weights(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", choices=("safetensors", "onnx", "pt2"), help="the format of one file")
    what.add_argument("--bundle", metavar="DIR", type=Path, help="the new folder")
    add("--out", metavar="FILE", type=Path, help="with --to: the file to write; it ends in the format's name")
    help = "with --bundle: the model card's YAML, as deblurkit/weights/starter.yml; default: says what nobody stated"
    add("--card", metavar="FILE", type=Path, help=help)
    help = "with --bundle: folders of deblurkit test, whose scores go into the card"
    add("--report", metavar="DIR", type=Path, nargs="+", default=[], help=help)
    add("--author", metavar="NAME", default="", help="with --bundle: who trained it")
    help = "half the size: weights rounded to fp16, in which onnx and pt2 compute too; without it no bit changes"
    add("--half", action="store_true", help=help)
    help = "onnx, pt2: local means in place of global ones, for a network trained on crops of N pixels"
    add("--tlc", metavar="N", type=int, help=help)
    add("--name", metavar="NAME", default="", help="what reports call it; default: the experiment's name")
    add("--licence", metavar="TEXT", default="", help="of the weights, such as Apache-2.0")
    add("--data", metavar="TEXT", default="", help="what it was trained on, and under which licences")
    add("--overwrite", action="store_true", help="replace an older file")
    add_plugins(parser)


def run(args: argparse.Namespace) -> None:
    """Writes the file or the folder, and says what is in it."""
    if args.bundle is not None:
        _bundle(args)
        return
    if args.out is None or args.card or args.report or args.author:
        raise cli.UsageError("--to goes with --out, and --card, --report and --author with --bundle")
    if args.out.suffix.lower() != f".{args.to}":
        raise UserError(f"{args.out}: expected a name that ends in .{args.to}, by which it is known again")
    if args.out.exists() and not args.overwrite:
        raise UserError(f"{args.out}: exists already; choose another --out or say --overwrite")
    if args.tlc is not None and args.to == "safetensors":
        raise cli.UsageError("--tlc goes with --to onnx and --to pt2: safetensors holds weights alone")
    _file(args)


def _file(args: argparse.Namespace) -> None:
    from deblurkit.exporting.network import Labels, read_network

    network = read_network(args.weights, Labels(args.name, args.licence, args.data), tuple(args.plugin), args.key)
    agreement = None
    if args.to == "safetensors":
        from deblurkit.exporting.tensors import export_safetensors

        made = export_safetensors(network, args.out, args.half)
        how = f"{'rounded to fp16' if made.half else 'no bit changed'}, SHA-256 of the content {made.sha256}"
    else:
        from deblurkit.exporting.onnx_file import export_onnx
        from deblurkit.exporting.program import export_program, least_side

        made = network.describe(args.half)
        how = f"computes in {'fp16' if args.half else 'fp32'}, images float32 of any number and size"
        if args.to == "onnx":
            graph, agreement = export_onnx(network, args.out, args.half, args.tlc)
            how += f", opset {graph.opset}, returns {', '.join(graph.outputs)}"
        else:
            agreement = export_program(network, args.out, args.half, args.tlc)
            how += f" from {least_side(network)} pixels a side"
    kind = "averaged weights (EMA)" if made.averaged else "weights as trained, there are no averaged ones"
    print(f"{args.weights}: {made.generator['type']} after {made.iteration} iterations, {kind}")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, {how}")
    if agreement is not None:
        print(f"{args.out}: {agreement}")
    for flag, said in (("--licence", made.licence), ("--data", made.data)):
        if not said:
            print(f"{args.out}: says nothing of the {flag[2:]}; {flag} would")


def _bundle(args: argparse.Namespace) -> None:
    if args.out is not None or args.tlc is not None or args.overwrite:
        raise cli.UsageError("--out, --tlc and --overwrite go with --to: --bundle names a new folder")
    from deblurkit.exporting.bundle import write_bundle
    from deblurkit.exporting.network import Labels, read_network

    network = read_network(args.weights, Labels(args.name, args.licence, args.data), tuple(args.plugin), args.key)
    made = write_bundle(network, args.bundle, args.card, args.report, args.author, args.half)
    print(f"{made.folder}: {', '.join(made.files)}")
    print(f"{made.folder}: {made.agreement}")
