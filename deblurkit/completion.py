"""Words that a shell may complete: option files, ``--set`` keys and values, component names; argcomplete asks for them.

Everything comes from the option file, the schema and the source: no torch is imported, as people wait for each Tab.
"""

from __future__ import annotations

import argparse
import contextlib
import types
import typing
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from deblurkit import catalogue
from deblurkit.errors import UserError
from deblurkit.options import shipped
from deblurkit.options.document import to_plain
from deblurkit.options.read import Reader
from deblurkit.weights import box

if TYPE_CHECKING:
    from pydantic import BaseModel

Completer = Callable[[str, argparse.Namespace], list[str]]
"""Takes what is typed of the word and the arguments before it, and returns words; argcomplete picks those that fit."""

_KIND_OF_SECTION = {
    "generator": "generator",
    "discriminators": "discriminator",
    "losses": "loss",
    "restorer": "restorer",
    "datasets": "dataset",
}


def complete(parser: argparse.ArgumentParser) -> NoReturn:
    """Prints the words that may stand where the cursor is, and exits."""
    import argcomplete

    for command in _parsers(parser):
        for action in command._actions:
            if action.dest in COMPLETERS:
                action.completer = partial(_answer, COMPLETERS[action.dest])  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, always_complete_options=False)
    raise SystemExit(1)  # argcomplete exits by itself; without its variables there is nothing to complete


def _answer(
    words: Completer,
    prefix: str,
    action: argparse.Action,
    parser: argparse.ArgumentParser,
    parsed_args: argparse.Namespace,
) -> list[str]:
    """Takes what argcomplete gives by name, of which completers need two."""
    return words(prefix, parsed_args)


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _parsers(command)


def option_files(prefix: str, args: argparse.Namespace) -> list[str]:
    """Returns the shipped names, and the option files that the path leads to."""
    import argcomplete

    return [*shipped.names(), *argcomplete.FilesCompleter(("yml", "yaml"))(prefix)]


def weight_files(prefix: str, args: argparse.Namespace) -> list[str]:
    """Returns the networks in the box, those that were fetched, and the weight files that the path leads to."""
    import argcomplete

    return [*box.names(), *fetched_names(), *argcomplete.FilesCompleter(("pth", "safetensors"))(prefix)]


def fetched_names() -> list[str]:
    """Returns the weights that were fetched."""
    from deblurkit.weights import fetched

    return fetched.names()


def offered_names(prefix: str, args: argparse.Namespace) -> list[str]:
    """Returns the weights that an index of this machine offers: the one named by ``--index``, or the shipped one."""
    from deblurkit.weights import index

    if args.index and index.is_remote(args.index):  # nobody asked for a download by pressing Tab
        return []
    return list(index.read_file(Path(args.index) if args.index else index.SHIPPED).entries)


def set_keys(prefix: str, args: argparse.Namespace) -> list[str]:
    """Returns ``KEY=`` for every option that the file named by ``-opt`` may have; after the ``=``, the known values."""
    key, equals, _ = prefix.partition("=")
    if equals:
        known = _keys_of_schema().get(key, [])
        if key.rpartition(".")[2] == "type":
            known = names_of(_KIND_OF_SECTION.get(key.partition(".")[0], ""))
        return [f"{key}={value}" for value in known]
    keys = set(_keys_of_schema())
    # `measure` takes several files: the first stands for all.
    file = args.opt[0] if isinstance(args.opt, list) and args.opt else args.opt
    if file:
        with contextlib.suppress(UserError):  # a file that is not there has no keys to offer
            keys |= set(_keys_of(to_plain(Reader().read(shipped.find(file))), ""))
    return sorted(f"{found}=" for found in keys)


def names_of(kind: str) -> list[str]:
    """Returns the built-in components of a registry."""
    return [entry.name for entry in catalogue.entries() if entry.kind == kind]


def _keys_of(tree: Any, path: str) -> Iterator[str]:
    """Yields the dotted keys of what an option file says, and of the arguments that its components could have."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _keys_of(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"
    kind = _KIND_OF_SECTION.get(path.partition(".")[0])
    for entry in catalogue.entries():
        if entry.kind == kind and entry.name == tree.get("type"):
            yield from (f"{path}{argument}" for argument in entry.arguments)


def _keys_of_schema() -> dict[str, list[str]]:
    """Returns the dotted keys of the sections, with the values that can be listed."""
    from deblurkit.options.schema import Options

    return dict(_fields_of(Options, ""))


def _fields_of(model: type[BaseModel], path: str) -> Iterator[tuple[str, list[str]]]:
    from pydantic import BaseModel

    from deblurkit.options.schema import Loader

    for name, field in model.model_fields.items():
        nested, values = [], []
        is_union = typing.get_origin(field.annotation) in (typing.Union, types.UnionType)
        for choice in typing.get_args(field.annotation) if is_union else (field.annotation,):
            if isinstance(choice, type) and issubclass(choice, BaseModel):
                nested.append(choice)
            elif choice is bool:
                values += ["true", "false"]
            elif typing.get_origin(choice) is Literal:
                values += [str(value) for value in typing.get_args(choice)]
        for section in nested:
            # A data set's entry has the loader's keys beside its own.
            yield from _fields_of(section, path if section is Loader else f"{path}{name}.")
        if name != "component" and (not nested or values):
            yield f"{path}{name}", values


COMPLETERS: dict[str, Completer] = {
    "opt": option_files,
    "set": set_keys,
    "name": option_files,
    "weights": weight_files,
    "init_from": weight_files,
    "box_name": lambda prefix, args: [*box.names(), *offered_names(prefix, args)],
    "offered_name": offered_names,
    "kind": lambda prefix, args: list(catalogue.kinds().values()),
    "protocol": lambda prefix, args: names_of("protocol"),
    "explain": lambda prefix, args: names_of("protocol"),
}
"""Completers of arguments, by their ``dest``; any other is completed by its choices, else as a file."""
