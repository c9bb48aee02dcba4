"""Write a small plugin package to start from: a network, a loss, an option file and their tests."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = "deblurkit new-plugin my-blur"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    add("plugin_name", metavar="NAME", help="the package's name, such as my-blur; its network is then MyBlur")
    add("--out", metavar="DIR", type=Path, default=Path(), help="the package's folder is made in this one (default: .)")


def run(args: argparse.Namespace) -> None:
    """Writes the package, and says what to do with it."""
    from deblurkit.new_plugin import new_plugin, plugin_names

    folder = new_plugin(args.plugin_name, args.out)
    package = plugin_names(args.plugin_name).package  # as the option file is called
    print(f"{folder}: a plugin with a network, a loss, an option file and tests. Next:")
    print(f'  cd {folder} && pip install -e ".[test]"')
    print("  python -m pytest")
    print(f"  deblurkit train -opt options/{package}.yml")
