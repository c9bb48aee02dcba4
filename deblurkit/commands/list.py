"""List the names that option files can use, or print their JSON Schema."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
from collections.abc import Iterator

from deblurkit import catalogue
from deblurkit.commands.arguments import add_plugins
from deblurkit.errors import UserError, did_you_mean

EXAMPLE = "deblurkit list generator"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("kind", nargs="?", metavar="KIND", help="one registry, such as generator or loss; default: all")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of option files, for editors")
    add_plugins(parser)


def run(args: argparse.Namespace) -> None:
    """Prints the names with the first line of what each is."""
    if args.schema:
        from deblurkit.options.json_schema import json_schema
        from deblurkit.plugins import load_plugins

        load_plugins(args.plugin)
        print(json.dumps(json_schema(), indent=2))
        return
    known = list(catalogue.kinds().values())
    if args.kind is not None and args.kind not in known:
        hint = did_you_mean(args.kind, known)
        raise UserError(f"no registry is named {args.kind!r}{hint}; known: {', '.join(known)}")
    # Plugins must be imported to be known, and torch with them; the built-in names need neither.
    plugins = args.plugin or importlib.metadata.entry_points(group="deblurkit.plugins")
    found = _registered(args.plugin) if plugins else ((e.kind, e.name, e.summary) for e in catalogue.entries())
    for kind, name, summary in found:
        if args.kind in (None, kind):
            print(f"{kind:14} {name:22} {summary}")


def _registered(plugins: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yields the kind, name and first line of every registered component."""
    from deblurkit.plugins import load_plugins
    from deblurkit.registry import REGISTRIES

    load_plugins(plugins)
    for kind, registry in REGISTRIES.items():  # in the order of the catalogue
        for name in registry.names():
            yield kind, name, (registry.get(name).__doc__ or "").strip().partition("\n")[0]
