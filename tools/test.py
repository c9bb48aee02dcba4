"""Restore the test sets of an experiment, score them and write a report."""

from __future__ import annotations

import argparse

from deblurkit import cli


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-opt", metavar="FILE", help="option file; default: the options inside the checkpoint")
    parser.add_argument("--weights", metavar="CKPT", help="checkpoint; default: the experiment's best, else its newest")
    parser.add_argument("--plugin", metavar="P", nargs="+", action="extend", default=[], help="import these first")
    parser.add_argument("--dataset", metavar="NAME", nargs="+", action="extend", help="test sets; default: all")
    parser.add_argument("--protocol", metavar="ID", help="how to score; default: val.protocol of the options")
    parser.add_argument("--explain", metavar="ID", help="print what a protocol computes, and stop")
    parser.add_argument("--inference", metavar="MODE", help="whole or x8; default: val.inference, else the protocol's")
    parser.add_argument("--save-images", action="store_true", help="also write the restored images")
    parser.add_argument("--out", metavar="DIR", help="folder of the report; default: report in the work dir")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1 ...; default: cuda where there is one")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "tf32", "bf16", "fp16"))
    args = parser.parse_args()
    return args if args.opt or args.weights or args.explain else parser.error("give -opt, --weights, or both")


def main() -> None:
    """Run the command."""
    args = parse()
    from deblurkit.evaluation.evaluate import evaluate, work_dir_of  # heavy imports only once the arguments are right
    from deblurkit.evaluation.protocols import get_protocol
    from deblurkit.options.load import load_options
    from deblurkit.registry import load_plugins
    from deblurkit.report.tables import headline

    load_plugins(args.plugin)
    if args.explain:
        print(get_protocol(args.explain, "--explain").explain())
        return
    with cli.progress() as show:
        metrics = evaluate(
            load_options(args.opt) if args.opt else None,
            args.weights,
            plugins=args.plugin,
            datasets=args.dataset,
            protocol=args.protocol,
            inference=args.inference,
            out=args.out,
            save_images=args.save_images,
            device=args.device,
            precision=args.precision,
            progress=show,
        )
    print(*headline(metrics["datasets"]), *metrics["notes"], sep="\n")
    print(f"report: {args.out or work_dir_of(metrics['weights']['file'], metrics['name']) / 'report'}")


cli.run(main)
