"""Train a network from an option file."""

from __future__ import annotations

import argparse

from deblurkit import cli
from deblurkit.commands.arguments import add_device, add_key, add_option_file, add_set

EXAMPLE = "deblurkit train -opt madn --set datasets.train.batch_size=4"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_option_file(parser, required=True)
    add_set(parser)
    parser.add_argument("--work-dir", metavar="DIR", help="the run's folder itself; default: work_dirs/<name>")
    help = "go on with a run, from its newest state"
    parser.add_argument("--resume", nargs="?", const=True, default=False, metavar="CKPT", help=help)
    parser.add_argument("--overwrite", action="store_true", help="start anew in a folder that holds an earlier run")
    help = "start with the weights of a checkpoint, an exported or published file, or a network in the box"
    parser.add_argument("--init-from", metavar="CKPT", help=help)
    add_key(parser)
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none")
    add_device(parser)
    parser.add_argument("--dry-run", action="store_true", help="try one iteration on synthetic images; needs no data")
    # Launchers pass it; what counts is torchrun's environment.
    parser.add_argument("--local-rank", "--local_rank", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> None:
    """Checks the options, then trains."""
    if args.key is not None and args.init_from is None:
        raise cli.UsageError("--key goes with --init-from, in whose file it names the weights")
    if args.dry_run:
        of_runs = {"--work-dir": args.work_dir, "--resume": args.resume, "--overwrite": args.overwrite}
        given = [flag for flag, value in {**of_runs, "--init-from": args.init_from}.items() if value]
        if given:
            raise cli.UsageError(f"--dry-run keeps and reads no run: leave out {', '.join(given)}")
    from deblurkit import load_options

    options = load_options(args.opt, args.set)  # every mistake is told before torch.distributed or data are touched
    if args.dry_run:
        from deblurkit.engine.dry_run import dry_run

        dry_run(options, args.device)
        return
    from deblurkit import train

    train(
        options,
        args.work_dir,
        args.resume,
        args.device,
        overwrite=args.overwrite,
        init_from=args.init_from,
        launcher=args.launcher,
        key=args.key,
    )
