"""Print what makes your shell complete deblurkit's words.

These are commands, flags, shipped option files, component names and `--set` keys.

bash: add `eval "$(deblurkit completion bash)"` to ~/.bashrc. zsh: the same with zsh, in ~/.zshrc, after compinit.
fish: write `deblurkit completion fish | source` into ~/.config/fish/config.fish.
"""

from __future__ import annotations

import argparse

EXAMPLE = 'eval "$(deblurkit completion bash)"'


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")


def run(args: argparse.Namespace) -> None:
    """Prints the shell's code."""
    import argcomplete

    # The code only registers a function that asks `deblurkit` itself, so that an update needs no new code in ~/.bashrc.
    print(argcomplete.shellcode(["deblurkit"], shell=args.shell))
