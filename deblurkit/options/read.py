"""Reads an option file, its bases and overrides into one tree.

No component is looked up here, so that listing, showing and merging option files need neither torch nor MMEngine.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from deblurkit.errors import did_you_mean
from deblurkit.options import shipped
from deblurkit.options.components import misspelt
from deblurkit.options.document import Composer, Node
from deblurkit.options.merge import merge, overlay
from deblurkit.options.problems import OptionsError, Origin, Problem, finished
from deblurkit.options.problems import Path as KeyPath
from deblurkit.options.schema import Options
from deblurkit.options.shipped import OptionFile

_BASE = "_base_"


class Reader:
    """Reads files and overrides into one tree and collects what is wrong on the way.

    Attributes:
        problems: Found so far.
        removals: That null removes nothing, which may be due to a base that could not be read.
        incomplete: Whether a file was not read to its end.
        texts: The files read, in this order, and what they hold.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.removals: list[Problem] = []
        self.incomplete = False
        self.texts: dict[OptionFile, str] = {}
        self._ranks = itertools.count(1)  # of the sources: problems are told in their order

    def finished(self) -> list[Problem]:
        """Returns the problems; that something to remove is not there counts only if everything was read."""
        return self.problems if self.incomplete else self.problems + self.removals

    def read(self, file: OptionFile) -> Node:
        """Reads a file and its bases into one tree; an empty one where the file cannot be read."""
        return self._file(file, ()) or Node({}, Origin(file.shown, 1))

    def _note(self, node: Node, path: KeyPath, text: str) -> None:
        self.removals.append(Problem(node.origin, path, text))

    def _give_up(self, origin: Origin, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(origin, path, text))
        self.incomplete = True

    def _file(self, file: OptionFile, readers: tuple[str, ...]) -> Node | None:
        """Reads one file and its bases; ``readers`` are the files, resolved, that are waiting for this one."""
        origin = Origin(file.shown, 1, next(self._ranks))
        text = self.text(file, origin)
        if text is None:
            return None
        document = Composer(text, origin, self.problems).compose()
        if document is None:
            self.incomplete = True
            return None
        if not isinstance(document.value, dict):
            shown = "it is empty" if document.value is None else f"it holds a {type(document.value).__name__}"
            self._give_up(origin, (), f"an option file is a dict of sections; {shown}")
            return None
        own = dict(document.value)
        bases = own.pop(_BASE, None)
        # Where `_base_` is misspelt, all that the bases say would be told as missing besides.
        self.incomplete |= bases is None and misspelt(_BASE, own, Options.model_fields)
        _anchor_plugins(own, os.path.dirname(file.path))
        merged = self._bases(bases, file, (*readers, os.path.realpath(file.path))) if bases is not None else None
        tree = merge(merged, Node(own, document.origin), self._note)
        return Node(tree.value, document.origin, refused=tree.refused)

    def text(self, file: OptionFile, origin: Origin) -> str | None:
        """Returns what a file holds; ``None`` where it cannot be read, which is noted."""
        try:
            content = Path(file.path).read_bytes()
        except OSError as error:
            hint = _nearest(file.path, "-opt {}") if isinstance(error, FileNotFoundError) else ""
            self._give_up(Origin(file.shown, None, origin.order), (), f"cannot be read: {error.strerror}{hint}")
            return None
        try:
            self.texts[file] = content.decode("utf-8-sig")  # editors on Windows put a mark in front
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self._give_up(Origin(file.shown, line, origin.order), (), "not UTF-8 text")
            return None
        return self.texts[file]

    def _bases(self, bases: Node, file: OptionFile, readers: tuple[str, ...]) -> Node | None:
        places: dict[KeyPath, Node] = {(_BASE,): bases}
        if isinstance(bases.value, list):
            places = {(_BASE, index): entry for index, entry in enumerate(bases.value)}
        merged: Node | None = None
        for path, entry in places.items():
            if not isinstance(entry.value, str) or not entry.value:
                self._give_up(entry.origin, path, "should be the path of an option file")
                continue
            try:
                base = shipped.base_of(file, entry.value)
            except OptionsError as error:
                self._give_up(entry.origin, path, str(error))
                continue
            if os.path.realpath(base.path) in readers:
                self._give_up(entry.origin, path, f"{base.shown} is being read already: the bases go round in a circle")
            elif not os.path.isfile(base.path):
                hint = _nearest(base.path, f"{_BASE}: {shipped.PREFIX}{{}}.yml")
                self._give_up(entry.origin, path, f"there is no file {base.shown}{hint}")
            else:
                tree = self._file(base, readers)
                if tree is not None:
                    merged = merge(merged, tree, self._note)
        return merged

    def override(self, root: Node, text: str) -> Node:
        """Applies ``a.b=V`` to a tree."""
        origin = Origin(f"--set {text}", None, next(self._ranks))
        dotted_keys, equals, value = text.partition("=")
        keys = [key.strip() for key in dotted_keys.split(".")]
        if not equals or not all(keys):
            self.problems.append(Problem(origin, (), "should read KEY.KEY=VALUE"))
            return root
        if keys[0] == _BASE:
            self.problems.append(Problem(origin, (_BASE,), "bases are named in option files only"))
            return root
        node = Composer(value, origin, self.problems).compose(tuple(keys))
        if node is None:  # the problem is noted; the rest can be checked as if nothing was said
            return root
        if keys == ["plugins"]:
            _anchor_plugins({"plugins": node}, os.curdir)
        try:
            return overlay(root, keys, node, self._note)
        except LookupError as error:
            self.problems.append(Problem(origin, tuple(keys), str(error.args[0])))
            return root


def text_of(file: OptionFile) -> str:
    """Returns what an option file holds, as it is.

    Raises:
        OptionsError: It cannot be read.
    """
    reader = Reader()
    text = reader.text(file, Origin(file.shown))
    if text is None:
        raise OptionsError(*finished(reader.problems))
    return text


def _anchor_plugins(sections: dict[str, Node], folder: str) -> None:
    """Makes the plugin files that a source names absolute: they are relative to its folder."""
    plugins = sections.get("plugins")
    if plugins is None or not isinstance(plugins.value, list):
        return
    anchored = []
    for entry in plugins.value:
        if isinstance(entry.value, str) and entry.value.endswith(".py"):  # any other is the name of a module
            entry = Node(os.path.abspath(os.path.join(folder, entry.value)), entry.origin)
        anchored.append(entry)
    plugins.value = anchored


def _nearest(file: str, form: str) -> str:
    """Suggests what a missing file may have meant: a shipped one of its name, written as ``form``, or a neighbour."""
    name = shipped.namesake(file)
    if name is not None:
        return f" (did you mean the shipped one, `{form.format(name)}`?)"
    try:
        return did_you_mean(os.path.basename(file), os.listdir(os.path.dirname(file) or os.curdir))
    except OSError:
        return ""
