"""Writing a new plugin: a small package, complete as it stands, to be changed into one's own."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import keyword
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from deblurkit.errors import UserError
from deblurkit.files import whole_folder
from deblurkit.names import folder_name

TEMPLATES = Path(__file__).parent / "plugin_template"
_FILES = {
    "pyproject.toml.j2": "pyproject.toml",
    "README.md.j2": "README.md",
    "gitignore.j2": ".gitignore",
    "package.py.j2": "src/{package}/__init__.py",
    "network.py.j2": "src/{package}/network.py",
    "loss.py.j2": "src/{package}/loss.py",
    "options.yml.j2": "options/{package}.yml",
    "test_contracts.py.j2": "tests/test_contracts.py",
}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class PluginNames:
    """Names of a plugin's parts: for pip and the folder, for Python, and in option files."""

    distribution: str  # my-blur
    package: str  # my_blur
    network: str  # MyBlur
    loss: str  # MyBlurLoss


def new_plugin(name: str, out: Path) -> Path:
    """Writes the package ``name`` into a folder of its own in ``out``, whole or not at all, and returns the folder.

    Raises:
        UserError: The name cannot be used or is taken, or the folder exists or cannot be written.
    """
    names = plugin_names(name)
    folder = out / names.distribution
    if os.path.lexists(folder):
        raise UserError(f"{folder}: exists already; choose another name, or another folder with --out")
    _refuse_taken(names)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with whole_folder(folder) as making:
            try:
                _write(names, making)
            except OSError as error:
                why = f"cannot be written ({error.strerror}); choose another folder with --out"
                raise UserError(f"{folder}: {why}") from None
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written to ({error.strerror}); choose another folder") from None
    return folder


def plugin_names(name: str) -> PluginNames:
    """Returns what the parts of the plugin ``name`` are called; a name that no package can have is a UserError."""
    distribution = re.sub(r"[-_.]+", "-", name).lower()
    if not _NAME.fullmatch(distribution):
        raise UserError(f"{name!a}: a plugin's name is made of letters a to z, digits, '-' and '_', such as my-blur")
    try:
        folder_name(distribution)
    except ValueError as error:
        raise UserError(f"{name!a}: {error}") from None
    package = distribution.replace("-", "_")
    network = "".join(part.capitalize() for part in distribution.split("-"))
    for word in (package, network):
        if keyword.iskeyword(word):
            raise UserError(f"{name!a}: {word} is a word of Python itself; choose another, such as {package}-net")
    return PluginNames(distribution, package, network, f"{network}Loss")


def _refuse_taken(names: PluginNames) -> None:
    """Refuses names that Python or an option file would take for something else."""
    found = importlib.util.find_spec(names.package)
    if names.package in sys.stdlib_module_names or (found is not None and found.origin is not None):
        where = found.origin if found is not None and found.origin else "Python itself"
        raise UserError(f"{names.package}: a module of this name is installed ({where}); choose another name")
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # pip would put ours in its place
        installed = importlib.metadata.distribution(names.distribution)
        raise UserError(f"{names.distribution}: {installed.name} {installed.version} is installed; choose another name")
    from deblurkit.plugins import load_plugins
    from deblurkit.registry import ARCHS, LOSSES

    load_plugins([])
    for registry, name in ((ARCHS, names.network), (LOSSES, names.loss)):
        same = [known for known in registry.names() if known.lower() == name.lower()]
        if same:
            raise UserError(f"{names.distribution}: there is a {registry.name} {same[0]} already; choose another name")


def _write(names: PluginNames, folder: Path) -> None:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    for template, path in _FILES.items():
        file = folder / path.format(package=names.package)
        file.parent.mkdir(parents=True, exist_ok=True)
        text = environment.get_template(template).render(vars(names))
        file.write_text(text, encoding="utf-8", newline="\n")
