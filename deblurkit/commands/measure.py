"""Measure a network's parameters, MACs, memory and time.

Published figures stand beside them. --layers prints every layer instead.

Exit code: 0 all was measured; 1 something was not, the table says why; 2 a mistake in what was given.
"""

from __future__ import annotations

import argparse

from deblurkit import cli
from deblurkit.commands.arguments import add_device, add_plugins, add_precision, add_set
from deblurkit.options import shipped

EXAMPLE = "deblurkit measure -opt madn nafnet --sizes 720x1280 --markdown costs.md"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("-opt", nargs="+", metavar="FILE", help="option files, by name or path")
    help = "those directly in DIR, or the shipped ones"
    which.add_argument("--all", nargs="?", const=shipped.PREFIX, metavar="DIR", help=help)
    add_set(parser, ", in all files")
    add_plugins(parser)
    add("--sizes", nargs="+", metavar="HxW", help="image sizes; default: 256x256 and 720x1280, with --layers 256x256")
    help = "print the layers instead: of the generator, of the critic of this name, or of all; times nothing"
    add("--layers", nargs="?", const="generator", metavar="NETWORK", help=help)
    timed = parser.add_mutually_exclusive_group()
    help = "to time; default: all, up to 256x256 on a CPU"
    timed.add_argument("--latency-sizes", nargs="+", metavar="HxW", help=help)
    timed.add_argument("--no-latency", action="store_true", help="count only: takes no time, and needs no GPU")
    add("--repeats", type=int, default=10, metavar="N", help="images timed (default: 10)")
    add("--warmup", type=int, default=2, metavar="N", help="images before them (default: 2)")
    add_device(parser)
    add_precision(parser)
    add("--markdown", metavar="FILE", help="write the tables there too; an older file is replaced")
    add("--json", metavar="FILE", help="write all figures there; an older file is replaced")
    add("--csv", metavar="FILE", help="with --layers: write them there too")


def run(args: argparse.Namespace) -> int:
    """Measures, prints and writes."""
    if args.csv and not args.layers:
        raise cli.UsageError("--csv goes with --layers")
    from deblurkit.device import pick_device
    from deblurkit.evaluation import cost
    from deblurkit.evaluation.ratios import measure_ratios
    from deblurkit.report import costs

    costs.check_targets(args.markdown, args.json, args.csv)  # now, not after minutes of measuring
    if args.layers:
        show_layers(args)
        return 0
    # What is timed is counted too, each size once.
    sizes = list(dict.fromkeys([*(args.sizes or cost.SIZES), *(args.latency_sizes or [])]))
    timing = None
    if not args.no_latency:
        device = pick_device(args.device)
        timing = cost.Timing(device, args.latency_sizes, args.precision, args.repeats, args.warmup)
    experiments = cost.load_all(args.opt or cost.option_files(args.all), args.set, args.plugin)
    with cli.progress() as show:
        measured = cost.measure_all(experiments, sizes, timing, show)
        # Times within one paper are compared as ratios: its machine is not this one.
        ratios = [] if timing is None else measure_ratios([*experiments.values()], sizes, timing, show)
    report = cost.cost_report(measured, timing, ratios)
    costs.show(report)
    costs.write(args.markdown, costs.markdown(report))
    costs.write(args.json, costs.as_json(report))
    return cli.OUR_FAULT if any(found.why_incomplete() for found in measured) else 0


def show_layers(args: argparse.Namespace) -> None:
    """Prints the layers of networks."""
    from deblurkit.evaluation import cost
    from deblurkit.evaluation.layers import layer_tables
    from deblurkit.report import costs, layers

    experiments = cost.load_all(args.opt or cost.option_files(args.all), args.set, args.plugin)
    found = []
    for file, options in experiments.items():
        for size in args.sizes or ["256x256"]:
            found += layer_tables(options, file, size, args.layers)
    print(layers.layers_text(found))
    costs.write(args.markdown, layers.layers_markdown(found))
    costs.write(args.csv, layers.layers_csv(found))
    costs.write(args.json, layers.layers_json(found))
