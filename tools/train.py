"""Train a deblurring network from an option file; see README.md."""

from __future__ import annotations

import argparse

from deblurkit import cli


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-opt", required=True, metavar="FILE", help="the option file")
    parser.add_argument("--set", nargs="+", default=[], action="extend", metavar="K=V", help="change options")
    parser.add_argument("--work-dir", metavar="DIR", help="the run's folder itself (default: work_dirs/<name>)")
    parser.add_argument("--resume", nargs="?", const=True, default=False, metavar="CKPT", help="go on with a run")
    parser.add_argument("--overwrite", action="store_true", help="start anew in a folder that holds an earlier run")
    parser.add_argument("--init-from", metavar="CKPT", help="start with the weights of a checkpoint, or published ones")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    parser.add_argument("--dry-run", action="store_true", help="try one iteration on synthetic images")
    # Launchers pass it; what counts is torchrun's environment.
    parser.add_argument("--local-rank", "--local_rank", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Check the options, then train."""
    arguments = parse()
    from deblurkit import load_options

    options = load_options(arguments.opt, arguments.set)
    if arguments.dry_run:
        from deblurkit.engine.dry_run import dry_run

        dry_run(options, arguments.device)
        return
    from deblurkit import train

    train(
        options,
        arguments.work_dir,
        arguments.resume,
        arguments.device,
        overwrite=arguments.overwrite,
        init_from=arguments.init_from,
        launcher=arguments.launcher,
    )


if __name__ == "__main__":
    cli.run(main)
