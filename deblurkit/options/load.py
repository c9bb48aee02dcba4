"""From option files and overrides to checked options."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deblurkit.errors import UserError, did_you_mean
from deblurkit.options.check import check, check_dataset
from deblurkit.options.components import Report, misspelt
from deblurkit.options.document import Composer, Node, from_plain
from deblurkit.options.merge import merge, overlay
from deblurkit.options.problems import OptionsError, Origin, Problem, finished
from deblurkit.options.problems import Path as KeyPath
from deblurkit.options.schema import DatasetEntry, Options
from deblurkit.registry import load_plugins

_BASE = "_base_"


def load_options(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Options:
    """Read an option file with its bases, apply overrides, load its plugins and check everything.

    Looks for no data and no weight file.

    Args:
        path: The option file.
        overrides: ``a.b=V`` each, V in YAML; applied from left to right.

    Raises:
        OptionsError: With every problem found, one line each.
    """
    reader = _Reader()
    root = reader.read(os.fspath(path))
    for text in overrides:
        root = reader.override(root, text)
    report = Report(root, reader.finished(), reader.incomplete)
    _load_plugins(report)
    return _checked(report)


def options_from_dict(expanded: dict[str, Any], source: str) -> Options:
    """Check expanded options as :func:`load_options` does; imports none of the plugins that they name.

    Args:
        expanded: What :meth:`Options.to_dict` returns.
        source: Where they come from, for messages.

    Raises:
        OptionsError: With every problem found, one line each.
    """
    origin = Origin(source)
    try:
        root = from_plain(expanded, origin)
    except TypeError as error:
        raise OptionsError(f"{source}: these are no plain options: {error}") from None
    return _checked(Report(root))


def load_dataset(text: str, source: str, plugins: Sequence[str] = ()) -> DatasetEntry:
    """Read and check one data set written as in an option file, ``{type: NAME, ...}``.

    Args:
        text: YAML.
        source: Where it comes from, for messages.
        plugins: Modules and files to import first.

    Raises:
        OptionsError: With every problem found, one line each.
    """
    load_plugins(plugins)
    problems: list[Problem] = []
    origin = Origin(source)
    node = Composer(text, origin, problems).compose(("datasets", "train"))
    report = Report(Node({"datasets": Node({"train": node or Node({}, origin)}, origin)}, origin), problems)
    entry = check_dataset(report) if node is not None else None
    if entry is None:
        raise OptionsError(*finished(report.problems))
    return entry


def _checked(report: Report) -> Options:
    options = check(report)
    if report.problems or options is None:
        raise OptionsError(*finished(report.problems))
    return options


def _load_plugins(report: Report) -> None:
    """Import the installed plugins, then those named, one by one so that each failure points at its own entry."""
    load_plugins([])
    plugins = report.root.value.get("plugins") if isinstance(report.root.value, dict) else None
    entries = plugins.value if plugins is not None and isinstance(plugins.value, list) else []
    for index, entry in enumerate(entries):
        if not isinstance(entry.value, str):
            report.names_open = True
            continue
        try:
            load_plugins([entry.value])
        except UserError as error:
            report.names_open = True
            report.add(("plugins", index), " ".join(error.problems))


class _Reader:
    """Reads files and overrides into one tree and collects what is wrong on the way.

    Attributes:
        problems: Found so far.
        incomplete: Whether a file was not read to its end.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.removals: list[Problem] = []
        self.incomplete = False
        self._sources = 0

    def finished(self) -> list[Problem]:
        """Return the problems; that something to remove is not there counts only if everything was read."""
        return self.problems + ([] if self.incomplete else self.removals)

    def read(self, file: str) -> Node:
        """Read a file and its bases into one tree; an empty one where the file cannot be read."""
        return self._file(file, Origin(file, 1, self._next()), ()) or Node({}, Origin(file, 1))

    def _next(self) -> int:
        self._sources += 1
        return self._sources

    def _note(self, node: Node, path: KeyPath, text: str) -> None:
        self.removals.append(Problem(node.origin, path, text))

    def _give_up(self, origin: Origin, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(origin, path, text))
        self.incomplete = True

    def _file(self, file: str, origin: Origin, readers: tuple[str, ...]) -> Node | None:
        """Read one file and its bases; ``readers`` are the files, resolved, that are waiting for this one."""
        text = self._text(file, origin)
        document = None if text is None else Composer(text, origin, self.problems).compose()
        if document is None:
            self.incomplete = True
            return None
        if not isinstance(document.value, dict):
            shown = "it is empty" if document.value is None else f"it holds a {type(document.value).__name__}"
            self._give_up(origin, (), f"an option file is a dict of sections; {shown}")
            return None
        own = dict(document.value)
        bases = own.pop(_BASE, None)
        self.incomplete |= bases is None and misspelt(_BASE, own, Options.model_fields)
        _anchor_plugins(own, os.path.dirname(file))
        merged = self._bases(bases, file, (*readers, os.path.realpath(file))) if bases is not None else None
        tree = merge(merged, Node(own, document.origin), self._note)
        return Node(tree.value, document.origin, refused=tree.refused)

    def _text(self, file: str, origin: Origin) -> str | None:
        try:
            content = Path(file).read_bytes()
        except OSError as error:
            hint = _similar_file(file) if isinstance(error, FileNotFoundError) else ""
            self._give_up(Origin(file, None, origin.order), (), f"cannot be read: {error.strerror}{hint}")
            return None
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self._give_up(Origin(file, line, origin.order), (), "not UTF-8 text")
            return None

    def _bases(self, bases: Node, file: str, readers: tuple[str, ...]) -> Node | None:
        listed = isinstance(bases.value, list)
        merged: Node | None = None
        for index, entry in enumerate(bases.value if isinstance(bases.value, list) else [bases]):
            path: KeyPath = (_BASE, index) if listed else (_BASE,)
            if not isinstance(entry.value, str) or not entry.value:
                self._give_up(entry.origin, path, "should be the path of an option file")
                continue
            base = os.path.normpath(os.path.join(os.path.dirname(file), entry.value))
            if os.path.realpath(base) in readers:
                self._give_up(entry.origin, path, f"{base} is being read already: the bases go round in a circle")
            elif not os.path.isfile(base):
                self._give_up(entry.origin, path, f"there is no file {base}{_similar_file(base)}")
            else:
                tree = self._file(base, Origin(base, 1, self._next()), readers)
                merged = merged if tree is None else merge(merged, tree, self._note)
        return merged

    def override(self, root: Node, text: str) -> Node:
        """Apply ``a.b=V`` to a tree."""
        origin = Origin(f"--set {text}", None, self._next())
        dotted_keys, equals, value = text.partition("=")
        keys = [key.strip() for key in dotted_keys.split(".")]
        if not equals or not all(keys):
            self.problems.append(Problem(origin, (), "should read KEY.KEY=VALUE"))
            return root
        if keys[0] == _BASE:
            self.problems.append(Problem(origin, (_BASE,), "bases are named in option files only"))
            return root
        node = Composer(value, origin, self.problems).compose(tuple(keys))
        if node is None:
            return root
        if keys == ["plugins"]:
            _anchor_plugins({"plugins": node}, os.curdir)
        try:
            return overlay(root, keys, node, self._note)
        except LookupError as error:
            self.problems.append(Problem(origin, tuple(keys), str(error.args[0])))
            return root


def _anchor_plugins(sections: dict[str, Node], folder: str) -> None:
    """Make the plugin files that a source names absolute: they are relative to its folder."""
    plugins = sections.get("plugins")
    if plugins is None or not isinstance(plugins.value, list):
        return
    plugins.value = [
        Node(os.path.abspath(os.path.join(folder, entry.value)), entry.origin)
        if isinstance(entry.value, str) and entry.value.endswith(".py")
        else entry
        for entry in plugins.value
    ]


def _similar_file(file: str) -> str:
    folder = os.path.dirname(file) or os.curdir
    try:
        return did_you_mean(os.path.basename(file), os.listdir(folder))
    except OSError:
        return ""
