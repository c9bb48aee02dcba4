"""Naming a data set on a command line: a section of an option file, or a component written in YAML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblurkit.data.loader import build_dataset
from deblurkit.errors import UserError, did_you_mean
from deblurkit.options import shipped
from deblurkit.options.load import load_dataset, load_options

if TYPE_CHECKING:
    from deblurkit.options.schema import DatasetEntry, Options

_FORM = "expected OPTIONS.yml:train, OPTIONS.yml:test.NAME, or '{type: NAME, ...}' as an option file writes it"


def named_entries(options: Options) -> dict[str, DatasetEntry]:
    """Returns an experiment's data sets by the names that command lines use.

    These are ``train``, or ``train.0``, ``train.1`` ... of several, ``val.NAME`` and ``test.NAME``.
    """
    sets = options.datasets
    named: dict[str, DatasetEntry] = {}
    for number, train in enumerate(sets.train):
        named["train" if len(sets.train) == 1 else f"train.{number}"] = train
    for group, entries in (("val", sets.val), ("test", sets.test)):
        named |= {f"{group}.{name}": entry for name, entry in entries.items()}
    return named


def find_entry(text: str, plugins: Sequence[str] = ()) -> DatasetEntry:
    """Returns the data set that ``text`` names, without looking at its files.

    Args:
        text: ``FILE.yml:train`` (``FILE.yml:train.0`` of several), ``FILE.yml:val.NAME`` or ``FILE.yml:test.NAME``,
            where a shipped file's name may stand for its path; or a component as an option file writes it,
            ``{type: PairedImages, blurred: a/, sharp: b/}``.
        plugins: Modules and files to import first.

    Raises:
        UserError: There is no such file or section, or it has mistakes.
    """
    if text.lstrip().startswith("{"):
        return load_dataset(text, "--data", plugins)
    file, separator, name = text.rpartition(":")
    if not separator:
        raise UserError(f"--data {text}: {_FORM}")
    try:
        path = shipped.find(file).path
    except UserError as error:
        raise UserError(f"--data {text}: {error}; {_FORM}") from None
    if not Path(path).is_file():
        raise UserError(f"--data {text}: there is no file {file}; {_FORM}")
    known = named_entries(load_options(file))
    if name == "train" and "train.0" in known:
        several = [key for key in known if key.startswith("train.")]
        raise UserError(f"--data {text}: it has {len(several)} training sets: name one of {', '.join(several)}")
    if name not in known:
        hint = did_you_mean(name, known)
        raise UserError(f"--data {text}: no data set is named {name!r}{hint}; known: {', '.join(known)}")
    return known[name]


def open_source(text: str, plugins: Sequence[str] = ()) -> Any:
    """Builds the data set that ``text`` names (see :func:`find_entry`), its files checked.

    Raises:
        UserError: It is not known, has mistakes, or its files are not in order.
    """
    return build_dataset(find_entry(text, plugins), "--data")
