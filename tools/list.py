"""List the components that option files can name, or print the option file's JSON Schema; see README.md."""

from __future__ import annotations

import argparse
import json

from deblurkit import cli


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="?", help="one registry, such as generator or loss (default: all)")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of option files, for editors")
    parser.add_argument("--plugin", nargs="+", default=[], action="extend", metavar="P", help="plugins to load first")
    return parser.parse_args()


def main() -> None:
    """Print the names with the first line of what each is."""
    arguments = parse()
    from deblurkit import registry
    from deblurkit.errors import UserError, did_you_mean

    registry.load_plugins(arguments.plugin)
    if arguments.schema:
        from deblurkit.options.json_schema import json_schema

        print(json.dumps(json_schema(), indent=2))
        return
    registries = {item.name: item for item in vars(registry).values() if isinstance(item, registry.ComponentRegistry)}
    if arguments.kind is not None and arguments.kind not in registries:
        hint = did_you_mean(arguments.kind, registries)
        raise UserError(f"no registry is named {arguments.kind!r}{hint}; known: {', '.join(registries)}")
    for kind in [arguments.kind] if arguments.kind else registries:
        for name in registries[kind].names():
            summary = (registries[kind].get(name).__doc__ or "").strip().splitlines()
            print(f"{kind:14} {name:22} {summary[0] if summary else ''}")


if __name__ == "__main__":
    cli.run(main)
