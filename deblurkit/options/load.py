"""From option files and overrides to checked options."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from deblurkit.compat import collector_resting
from deblurkit.errors import UserError
from deblurkit.options import shipped
from deblurkit.options.check import check, check_dataset
from deblurkit.options.components import Report
from deblurkit.options.document import Composer, Node, from_plain
from deblurkit.options.problems import OptionsError, Origin, Problem, finished
from deblurkit.options.read import Reader
from deblurkit.options.schema import DatasetEntry, Options
from deblurkit.plugins import load_plugins


@collector_resting()
def load_options(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Options:
    """Reads an option file with its bases, applies overrides, loads its plugins and checks everything.

    It looks for no data and no weight file, and imports only those of our components that the file names.

    Args:
        path: The option file; or the name of a shipped one, such as ``madn`` or ``deblurkit:madn.yml``.
        overrides: ``a.b=V`` each, V in YAML; applied from left to right.

    Raises:
        OptionsError: With every problem found, one line each.
    """
    reader = Reader()
    root = reader.read(shipped.find(os.fspath(path)))
    for text in overrides:
        root = reader.override(root, text)
    report = Report(root, reader.finished(), reader.incomplete)
    # The installed plugins, then those named, one by one, so that each failure points at its own entry.
    load_plugins([])
    assert isinstance(report.root.value, dict)
    plugins = report.root.value.get("plugins")
    if plugins is not None and isinstance(plugins.value, list):
        for index, entry in enumerate(plugins.value):
            if not isinstance(entry.value, str):
                report.names_open = True
                continue
            try:
                load_plugins([entry.value])
            except UserError as error:
                report.names_open = True
                report.add(("plugins", index), " ".join(error.problems))
    return _checked(report)


def options_from_dict(expanded: dict[str, Any], source: str) -> Options:
    """Checks what :meth:`Options.to_dict` returned as :func:`load_options` does; messages name its ``source``.

    Imports none of the plugins that it names: it may be from a checkpoint of anybody's.

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
    """Reads and checks one data set written as in an option file, ``{type: NAME, ...}``.

    Messages name the ``source`` of the text; the plugins are imported first.

    Raises:
        OptionsError: With every problem found, one line each.
    """
    load_plugins(plugins)
    problems: list[Problem] = []
    origin = Origin(source)
    node = Composer(text, origin, problems).compose(("datasets", "train"))
    if node is not None:
        # As the part of an option file that it could be, so that it is checked as there.
        report = Report(Node({"datasets": Node({"train": node}, origin)}, origin), problems)
        entry = check_dataset(report)
        if entry is not None:
            return entry
    raise OptionsError(*finished(problems))


def _checked(report: Report) -> Options:
    options = check(report)
    if report.problems or options is None:
        raise OptionsError(*finished(report.problems))
    return options
